"""The texts in `words.json`, so that the pages, the desk and the terminal use the same words.

The texts for refused pastes are in `connector/redirect/refusals.json`, by reason.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

from connector.connection import Connection, ConnectionState, Event
from connector.errors import ConnectorError

__all__ = [
    "Description",
    "NextStep",
    "code_page_words",
    "counted",
    "describe",
    "event_words",
    "lab_words",
    "mail",
    "next_step",
    "page_hint",
    "sentence",
    "step_words",
    "to_say",
    "why",
]

# A command is at the end of its hint, after its purpose, or is quoted within a sentence.
_COMMAND = re.compile(r"( ?\b(Then|then continue|At a terminal))?:? ?\bormco [a-z].*", re.DOTALL)
_SENTENCE_WITH_COMMAND = re.compile(r"[^.;]*`ormco [^`]*`[^.;]*[.;]?")
_SETTLED = (ConnectionState.CONNECTED, ConnectionState.REVOKED)
# These may occur while the connection itself works.
_OF_A_NEW_GRANT = ("account_unread", "account_unconfirmed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The words that describe a connection.

    Attributes:
        kind: "good", "neutral" or "bad"; pages colour it.
        title: one or two words.
        text: one sentence for the practice.
        say: what support says to the practice on the telephone.
    """

    kind: str
    title: str
    text: str
    say: str


class NextStep(StrEnum):
    """The next step of support for a practice."""

    NONE = "none"
    CONFIRM = "confirm"
    REPAIR = "repair"
    SEND_LINK = "send_link"
    FINISH_REVOKING = "finish_revoking"


_NEXT_STEPS = {
    ConnectionState.CONNECTED: NextStep.NONE,
    ConnectionState.DEGRADED: NextStep.REPAIR,
    ConnectionState.NEEDS_REPAIR: NextStep.REPAIR,
    ConnectionState.REVOKING: NextStep.FINISH_REVOKING,
    ConnectionState.REVOKED: NextStep.SEND_LINK,
}


def next_step(connection: Connection | None) -> NextStep:
    """Return the next step of support for a practice."""
    if connection is None:
        return NextStep.SEND_LINK
    if connection.reason == "damaged":
        return NextStep.NONE  # there is no button that deletes stored data
    if connection.reason == "account_unconfirmed":
        return NextStep.CONFIRM
    return _NEXT_STEPS[connection.state]


def step_words(step: NextStep) -> str:
    """Return the label of the button for a step."""
    return str(_table()["next_steps"][step.value])


def why(connection: Connection) -> str:
    """Return the reason for a connection's state, for support; "" if there is nothing to explain."""
    if connection.reason not in _OF_A_NEW_GRANT and connection.state in _SETTLED:
        return ""
    known: str | None = _table()["reasons"].get(connection.reason)
    return known or connection.last_error or connection.reason or ""


def describe(connection: Connection | None) -> Description:
    """Return the words that describe a connection to its practice."""
    states = _table()["states"]
    if connection is None:
        return Description(**states["none"])
    is_first = connection.state is ConnectionState.DEGRADED and connection.reason in _OF_A_NEW_GRANT
    has_own = is_first or connection.reason == "damaged"
    return Description(**states[connection.reason if has_own else connection.state.value])


def to_say(connection: Connection | None) -> str:
    """Return the words that support says to the practice on the telephone."""
    if next_step(connection) is NextStep.CONFIRM:
        return str(_table()["states"]["account_unconfirmed"]["say"])
    return describe(connection).say


def mail(url: str, expires_at: datetime) -> tuple[str, str]:
    """Return the subject and the body of the mail that sends a practice its link."""
    words = _table()["mail"]
    return words["subject"], words["body"].format(url=url, until=f"{expires_at:%H:%M} UTC")


def event_words(event: Event) -> str:
    """Return a short description of an event of the audit record."""
    words = _table()["events"]
    if event.state is ConnectionState.NEEDS_REPAIR and event.outcome != "ok":
        return str(words["needs_repair"])
    known = words.get(f"{event.kind} {event.outcome}") or words.get(event.kind)
    return known or event.kind.replace("_", " ").capitalize()


def counted(count: int, noun: str, then: str = "") -> str:
    """Return a count with its noun and verb, in the singular or the plural.

    `then` is the rest of the sentence in the plural, beginning with its verb.

    Examples:
        >>> counted(1, "practice", "need attention"), counted(2, "refresh", "are overdue")
        ('1 practice needs attention', '2 refreshes are overdue')
        >>> counted(1, "", "wait for confirmation")
        '1 waits for confirmation'
    """
    if count != 1:
        plural = noun and noun + ("es" if noun.endswith(("s", "sh")) else "s")
        return " ".join(filter(None, (f"{count:d}", plural, then)))
    verb, space, rest = then.partition(" ")
    singular = "" if not verb else {"are": "is"}.get(verb, f"{verb}s")
    return " ".join(filter(None, ("1", noun, f"{singular}{space}{rest}")))


def lab_words(state: str) -> str:
    """Return the words of 3Shape's page for the state of a lab connection."""
    return str(_table()["lab"].get(state, state))


def sentence(text: str) -> str:
    """Return a text, such as an error's message, with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "…")) else ".")


def page_hint(error: ConnectorError) -> str:
    """Return an error's hint without its commands, for a person who has no terminal.

    Examples:
        >>> page_hint(ConnectorError("it is dead", hint="Connect it again: ormco connect practice-42"))
        'Connect it again.'
    """
    hint = _SENTENCE_WITH_COMMAND.sub("", error.hint)
    hint = _COMMAND.sub("", hint).strip(" ;:,")
    return hint if not hint or hint[-1] in ".!?" else f"{hint}."


def code_page_words() -> dict[str, dict[str, str]]:
    """Return the words of the code page: language → name → text, names of values in braces.

    Examples:
        >>> code_page_words()["de"]["copy"]
        'Kopieren'
    """
    found: dict[str, dict[str, str]] = _words()["code_page"]
    return found


def _table() -> dict[str, Any]:
    found: dict[str, Any] = _words()["connection"]
    return found


@lru_cache(maxsize=1)
def _words() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).with_name("words.json").read_text("utf-8"))
    return found
