"""Find the name of an error in a token endpoint's response, in any server's form, and its meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

import requests

from connector.oauth.http import json_value

__all__ = ["Outcome", "error_name", "meaning"]


class Outcome(Enum):
    """Meaning of a response that grants nothing."""

    DEAD = "the code or token is dead"
    DOUBTFUL = "refused, in a way that can also have another cause"
    CLIENT = "the client registration is not accepted"
    PASSING = "not now"
    LOST = "no whole answer: what it granted may be lost"
    UNUSABLE = "not the endpoint's own answer"


# The names of RFC 6749 and OpenID Connect Core §3.1.2.6, and names that some servers use instead.
_KNOWN = {
    "access_denied": Outcome.DEAD,
    "invalid_request": Outcome.DOUBTFUL,
    "consent_required": Outcome.DOUBTFUL,
    "account_selection_required": Outcome.DOUBTFUL,
    "interaction_required": Outcome.DOUBTFUL,
    "login_required": Outcome.DOUBTFUL,
    "invalid_scope": Outcome.CLIENT,
    "unsupported_grant_type": Outcome.CLIENT,
    "redirect_uri_mismatch": Outcome.CLIENT,
    "slow_down": Outcome.PASSING,
    "too_many_requests": Outcome.PASSING,
}
# Other names consist of the same few words everywhere: bad_refresh_token, token_expired, DeletedClient. A
# line matches if the name has a word of each of its sets; the first such line decides.
_TOKENS = frozenset({"grant", "token", "code", "authorization", "consent"})
_BY_WORDS: tuple[tuple[frozenset[str], frozenset[str], Outcome | None], ...] = (
    (frozenset({"client", "app", "application"}), frozenset(), Outcome.CLIENT),
    (frozenset({"type", "scope", "csrf", "auth", "header", "method"}), frozenset(), None),
    (frozenset({"unavailable", "rate", "throttled", "throttling"}), frozenset(), Outcome.PASSING),
    (frozenset({"server", "internal"}), frozenset(), Outcome.LOST),
    (_TOKENS, frozenset({"expired", "revoked", "inactive", "reused", "found"}), Outcome.DEAD),
    (_TOKENS - {"authorization", "consent"}, frozenset({"invalid", "bad", "unknown", "old"}), Outcome.DEAD),
)
# Keys under which servers put the name of an error, or a short text instead.
_ERROR_KEYS = ("error", "errors", "error_code", "errorcode", "error_type")
_NAME_KEYS = (*_ERROR_KEYS, "code", "name", "type", "status", "reason", "message")
_NAME = re.compile(r"[a-z]{1,20}(?:_[a-z]{1,20}){0,5}")


def error_name(answer: requests.Response) -> str | None:
    """Return the name of the error in a response, in snake case; "" if it does not look like a name.

    Other text could be an echo of the request, with its secrets, and is not repeated.
    """
    try:
        body = json_value(answer)
    except ValueError:
        return None
    found = _named(body, _ERROR_KEYS, 4)
    if found is not None:
        return _snake_case(found)
    # Other keys contain other text too: there, only a known name counts.
    name = _snake_case(_named(body, _NAME_KEYS, 4) or "")
    return name if meaning(name) is not None else None


def meaning(name: str) -> Outcome | None:
    """Return the meaning of a name alone, or None if the status has to decide."""
    if name in _KNOWN:
        return _KNOWN[name]
    words = set(name.split("_"))
    return next(
        (found for some, others, found in _BY_WORDS if words & some and (words & others or not others)), None
    )


def _snake_case(text: str) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|[\s.-]+", "_", text.strip()).strip("_").lower()
    name = name.removesuffix("_error").removesuffix("_exception")
    return name if _NAME.fullmatch(name) else ""


def _named(value: Any, keys: Sequence[str], depth: int) -> str | None:
    """Look for an error's name: a string, or one in an object or in a list."""
    if isinstance(value, str) or depth == 0:
        return value if isinstance(value, str) and value.strip() else None
    if isinstance(value, list):
        places = value[:8]
    elif isinstance(value, dict):
        fields = {str(key).lower(): item for key, item in value.items()}
        places = [fields[key] for key in keys if key in fields]
    else:
        return None
    return next((name for item in places if (name := _named(item, _NAME_KEYS, depth - 1))), None)
