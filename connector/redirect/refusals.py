"""Errors for refused pastes: each reason has an error class, a message and a hint in `refusals.json`.

The code page shows the same reasons in the reader's language.
"""

from __future__ import annotations

import re
from typing import Any

from connector import errors
from connector.errors import CodeDamagedError, ConnectorError
from connector.redirect import table

__all__ = ["damaged", "described", "note", "provider_error", "refused"]


def refused(reason: str, **values: object) -> ConnectorError:
    """Return the error for a reason.

    Args:
        reason: its name in `refusals.json`.
        values: the values in its message. They are shown, so none may contain a part of a code.

    Examples:
        >>> refused("repeated_parameter", name="state").message
        'the parameter state occurs twice, with different values'
    """
    error_class, message, hint = described(reason, values)
    error: ConnectorError = error_class(message, hint=hint)
    return error


def damaged(
    reason: str,
    code: str,
    *,
    expected_length: int | None = None,
    position: int | None = None,
    **values: object,
) -> CodeDamagedError:
    """Return the error for a damaged code.

    Args:
        reason: its name in `refusals.json`.
        code: the code; the message contains only its length.
        expected_length: characters of the whole code, if they are known.
        position: index of the first wrong character, if it is known.
        values: further values in its message.
    """
    number = None if position is None else position + 1
    known = {"count": len(code), "expected": expected_length, "number": number, **values}
    _, message, hint = described(reason, known)
    return CodeDamagedError(
        message, hint=hint, length=len(code), expected_length=expected_length, position=position
    )


def provider_error(name: str, description: str, state: str | None) -> ConnectorError:
    """Return the error for the provider's `error=…` (RFC 6749 §4.1.2.1).

    Args:
        name: the value of `error`.
        description: the value of `error_description`. Only its ordinary words are repeated.
        state: the state of the request that the error ends, so that the request can be closed.
    """
    reason = table("refusals")["error_aliases"].get(name, name)
    if reason not in table("refusals")["provider_errors"]:
        reason = "other_error"
    if not re.fullmatch(r"[a-z_]{1,40}", name):
        reason = "unreadable_error"
    error_class, message, hint = described(reason, {"error": name})
    words = _ordinary_words(description)
    error: ConnectorError = error_class(
        f"{message} ({note('said', words=words)})" if words else message, hint=hint
    )
    error.state = state
    return error


def note(name: str, **values: object) -> str:
    """Return the text of a remark that is not a refusal."""
    text: str = table("refusals")["words"]["en"]["notes"][name]
    return text.format(**values)


def described(reason: str, values: dict[str, object]) -> tuple[type[Any], str, str]:
    """Return the class, the message and the hint of a reason."""
    refusals = table("refusals")
    entry = refusals["reasons"][reason]
    words = refusals["words"]["en"]
    error_class = getattr(errors, "".join(word.title() for word in entry["kind"].split("_")) + "Error")
    # Hints about settings are for programs and terminals; the pages send people to support instead.
    hint = refusals["commands"].get(entry["hint"]) or words["hints"][entry["hint"]]
    return error_class, words["facts"][reason].format(**values), hint


def _ordinary_words(description: str) -> str:
    """Return the ordinary words of an untrusted text, without control characters or possible secrets."""
    words = [
        word if re.fullmatch(r"[A-Za-z'\-]{1,20}[.,;:!?]?|[0-9]{1,6}[.,]?", word) else "…"
        for word in description[:200].replace("+", " ").split()
    ]
    return " ".join(words) if any(word != "…" for word in words) else ""
