"""Read a token endpoint's response; find the name of its error in any server's form, and its meaning."""

from __future__ import annotations

import http.client
import re
from collections.abc import Sequence
from enum import Enum
from typing import Any
from urllib.parse import parse_qs

import requests

from connector.oauth.http import json_value

__all__ = ["Outcome", "error_name", "meaning", "read_fields"]


class Outcome(Enum):
    """Meaning of a response that grants nothing."""

    DEAD = "the code or token is dead"
    DOUBTFUL = "refused, in a way that can also have another cause"
    CLIENT = "the client registration is not accepted"
    PASSING = "a temporary refusal"
    LOST = "no complete response: the tokens in it may be lost"
    UNUSABLE = "not the endpoint's own response"


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
_ERROR_KEYS = ("error", "errors", "error_code", "errorcode", "error_codes", "error_type")
_NAME_KEYS = (*_ERROR_KEYS, "code", "name", "type", "status", "reason", "message")
_FORM_TYPES = ("application/x-www-form-urlencoded", "text/plain")
_MOST_FIELDS = 100
_NAME = re.compile(r"[a-z]{1,20}(?:_[a-z]{1,20}){0,5}")


def read_fields(response: requests.Response) -> Any:
    """Return the value in a response: JSON, or the fields of a form; None if it is neither.

    RFC 6749 requires JSON. Older servers send the same fields as a form, some of them as text/plain.
    """
    try:
        return json_value(response)
    except ValueError:
        pass
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in _FORM_TYPES:
        return None
    try:
        found = parse_qs(response.text.strip(), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return None
    # A text with none of these fields is not a form. If one has two values, it is not clear which one counts.
    given = [len(set(found[name])) for name in ("error", "access_token", "refresh_token") if name in found]
    return {name: values[-1] for name, values in found.items()} if set(given) == {1} else None


def error_name(response: requests.Response) -> str | None:
    """Return the name of the error in a response, in snake case; "" if it does not look like a name.

    Other text could be an echo of the request, with its secrets, and is not repeated.
    """
    body = read_fields(response)
    found = _named(body, _ERROR_KEYS, 4)
    name = _snake_case(found or _named(body, _NAME_KEYS, 4) or "")
    if meaning(name) is not None:
        return name
    # Other keys contain other text too. A status in words ("Not Found") means no more than the status.
    phrase = _snake_case(http.client.responses.get(response.status_code, ""))
    return None if found is None or name == phrase != "" else name


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
