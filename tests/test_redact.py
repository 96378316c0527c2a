"""Keeping secrets out of text."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.redact import fingerprint, quiet_oauth_loggers, shown


def test_a_fingerprint_is_stable_and_reveals_nothing() -> None:
    """The same secret has the same short name, another one another; a lone surrogate breaks nothing."""
    name = fingerprint("made-up-code")
    assert name == fingerprint("made-up-code") != fingerprint("made-up-code2")
    assert len(name) == 32
    assert "made-up" not in name
    assert fingerprint("\ud800") != fingerprint("\ud801")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\r\nlines\tand  a gap ", "two lines and a gap"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("right\u202eleft", "right left"),
        ("x" * 300, "x" * 199 + "…"),
        ("", ""),
    ],
)
def test_foreign_text_is_shown_on_one_printable_line(text: str, line: str) -> None:
    """Control characters cannot move a terminal's cursor or forge a log line."""
    assert shown(text) == line


@given(st.text(), st.integers(1, 50))
def test_shown_text_is_short_and_printable(text: str, limit: int) -> None:
    """Nothing gets past the limit or the filter."""
    assert len(shown(text, limit)) <= limit
    assert shown(text, limit).isprintable()


def test_the_oauth_libraries_stay_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Their records below WARNING reach no log, at whatever level; the others do."""
    quiet_oauth_loggers()
    quiet_oauth_loggers()
    loggers = [logging.getLogger(name) for name in ("requests_oauthlib.oauth2_session", "oauthlib")]
    for logger in loggers:
        caplog.set_level(logging.DEBUG, logger=logger.name)
        logger.debug("a secret")
        logger.warning("a warning")
    assert [record.getMessage() for record in caplog.records] == ["a warning"] * 2
    assert [len(logger.filters) for logger in loggers] == [1, 1]
