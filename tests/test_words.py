"""The table of words: every state and next step has them, and a hint on a page names no command."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connector.connection import Connection, ConnectionState
from connector.errors import ConnectorError
from connector.words import NextStep, counted, describe, next_step, page_hint, step_words, to_say

CONNECTION = Connection(
    practice_id="p", provider="test", state=ConnectionState.CONNECTED, since=datetime(2026, 1, 1, tzinfo=UTC)
)


@pytest.mark.parametrize("state", ConnectionState)
def test_every_state_has_its_words(state: ConnectionState) -> None:
    """A practice reads the meaning of its state; support reads what to say and what to press."""
    connection = replace(CONNECTION, state=state)
    words = describe(connection)
    assert all((words.kind, words.title, words.text, to_say(connection)))
    step = next_step(connection)
    assert step is NextStep.NONE or step_words(step)


def test_account_that_waits_is_no_outage() -> None:
    """While a person has to confirm the account, no message says that 3Shape does not respond."""
    waiting = replace(CONNECTION, state=ConnectionState.DEGRADED, reason="account_unconfirmed")
    assert describe(waiting).title == "Waiting for you"
    assert next_step(waiting) is NextStep.CONFIRM
    beside = replace(CONNECTION, reason="account_unconfirmed")
    assert describe(beside).title == "Connected"
    assert to_say(beside) == to_say(waiting)


def test_damaged_record_is_not_repaired_by_a_person() -> None:
    """Neither the practice nor support is asked to press a button."""
    damaged = replace(CONNECTION, state=ConnectionState.NEEDS_REPAIR, since=None, reason="damaged")
    assert next_step(damaged) is NextStep.NONE
    assert "Press" not in describe(damaged).text
    assert "link" not in to_say(damaged)


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("Connect it again: ormco connect practice-42", "Connect it again."),
        ("ormco repair 'a. b'", ""),
        ("The tokens are kept; then continue: ormco revoke x", "The tokens are kept."),
        ("1. Go. 2. Confirm to delete. Then: ormco revoke x --confirm-done", "1. Go. 2. Confirm to delete."),
        ("Restore the file from a backup; `ormco doctor` tells more.", "Restore the file from a backup."),
        ("At a terminal: ormco repair x", ""),
        ("Ask Ormco support. Is it down?", "Ask Ormco support. Is it down?"),
    ],
)
def test_hint_on_a_page_names_no_command(hint: str, shown: str) -> None:
    """A hint on a page keeps its advice without the command."""
    assert page_hint(ConnectorError("it failed", hint=hint)) == shown


@pytest.mark.parametrize(("count", "said"), [(0, "0 refreshes are late"), (1, "1 refresh is late")])
def test_singular_and_plural(count: int, said: str) -> None:
    """One is, several are."""
    assert counted(count, "refresh", "are late") == said
