"""Errors that are found before consent is requested, and consent that is not requested at all."""

from __future__ import annotations

import pytest

from tests.support.commands import run
from tests.support.sandbox import RunningSandbox


@pytest.mark.parametrize(
    ("mode", "change", "says"),
    [
        ("--paste", {"ORMCO_CLIENT_SECRET": "wrong"}, "ORMCO_CLIENT_SECRET"),
        ("--browser", {"DISPLAY": "", "WAYLAND_DISPLAY": ""}, "there is no display for a browser window"),
        ("--headless", {"ORMCO_BROWSER": "/nowhere"}, "there is no program at '/nowhere'"),
        ("--headless", {"ORMCO_3SHAPE_USERNAME": ""}, "ORMCO_3SHAPE_USERNAME"),
    ],
    ids=["secret", "display", "browser", "credentials"],
)
def test_failures_are_found_before_consent(
    env: dict[str, str], classic: RunningSandbox, mode: str, change: dict[str, str], says: str
) -> None:
    """Nobody gives consent for nothing: no link is shown and no request stays open."""
    signing_in = {"ORMCO_3SHAPE_USERNAME": "front.desk@maple-ortho.test", "ORMCO_3SHAPE_PASSWORD": "x"}
    result = run({**env, **signing_in, **change}, "connect", "practice-42", mode)
    assert result.exit_code == 10
    assert says in result.stderr
    assert "http" not in result.stdout
    assert "authorize" not in classic.counters()
    assert "No link is open" in run(env, "complete", "practice-42", stdin="x").stderr


def test_a_sound_connection_wants_no_credentials(env: dict[str, str], classic: RunningSandbox) -> None:
    """`repair --headless` requires the credentials only if the connection needs consent."""
    response = classic.authorize(run(env, "begin", "practice-42").stdout.strip())
    assert run(env, "complete", "practice-42", stdin=response).exit_code == 0
    result = run(env, "repair", "practice-42", "--headless")
    assert result.exit_code == 0
    assert "nothing is wrong" in result.stderr
