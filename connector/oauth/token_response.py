"""What a token endpoint's answer means: a token set, or one of our errors.

The body counts before the status: servers differ in the status, gateways in the body.
"""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlsplit

import requests

from connector.errors import (
    ClientRefusedError,
    CodeRefusedError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
)
from connector.oauth.http import json_object, retry_after
from connector.oauth.token_set import TokenSet

__all__ = ["START_AGAIN", "code_refusal", "grant_refusal", "granted", "is_web_page", "refusal"]

START_AGAIN = "The code cannot be sent a second time: start again with `ormco connect` (or `ormco begin`)."

_CLIENT_ERRORS = {
    "invalid_client",
    "unauthorized_client",
    "invalid_scope",
    "unsupported_grant_type",
    "redirect_uri_mismatch",  # not RFC 6749, but seen
}
# The code or the grant, most often but not always; the last four ask for a person (OpenID Connect Core
# §3.1.2.6).
_AMBIGUOUS_ERRORS = {
    "invalid_request",
    "invalid_code",
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
}
_PASSING_ERRORS = {"server_error", "temporarily_unavailable", "slow_down"}
_PASSING_STATUSES = {408, 425, 429}
# A value of `error` that is none of these could be anything, also an echo of what was sent.
_ERROR_NAME = re.compile(r"[a-z]+(?:_[a-z]+){0,5}")
_CONTENT_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,30}")


def granted(answer: requests.Response, *, received_at: datetime) -> TokenSet | None:
    """Return the token set in an answer, or None if it grants none.

    Args:
        answer: as it came.
        received_at: when.
    """
    body = json_object(answer)
    if body is None or (answer.status_code >= 300 and _error(answer) is not None):
        return None
    try:
        return TokenSet.from_answer(body, received_at=received_at)
    except ValueError:
        return None


def code_refusal(answer: requests.Response, *, now: float) -> ConnectorError:
    """Return why a code was not exchanged."""
    error = _error(answer)
    if error == "invalid_grant" or _is_bare_refusal(answer) or _is_about_what_was_sent(answer, error):
        return CodeRefusedError(
            f"{_host(answer)} did not accept the code ({_words(answer)}): it is too old, was used before, "
            "or belongs to another request",
            hint=f"{START_AGAIN} If a fresh code is refused too, check ORMCO_CLIENT_SECRET and "
            "ORMCO_REDIRECT_URI.",
        )
    return refusal(answer, now=now)


def grant_refusal(answer: requests.Response, *, now: float) -> ConnectorError:
    """Return why a refresh token brought no new token set."""
    error = _error(answer)
    if error == "invalid_grant" or error in _AMBIGUOUS_ERRORS or _is_bare_refusal(answer):
        return GrantRefusedError(
            f"{_host(answer)} refused the refresh token ({_words(answer)})",
            hint="The practice has to give access again: ormco repair PRACTICE",
            certain=error == "invalid_grant",
        )
    return refusal(answer, now=now)


def refusal(answer: requests.Response, *, now: float) -> ConnectorError:
    """Return what an answer means that speaks neither of the code nor of the grant.

    Args:
        answer: as it came.
        now: seconds since 1970, for a `Retry-After` date.
    """
    if _error(answer) in _CLIENT_ERRORS:
        return ClientRefusedError(
            f"{_host(answer)} does not accept the client registration ({_words(answer)})",
            hint="Check ORMCO_CLIENT_ID, ORMCO_CLIENT_SECRET, ORMCO_REDIRECT_URI and ORMCO_SCOPE against the "
            "provider's registration; in a provider file, client_auth and basic_encoding too.",
        )
    return ProviderUnavailableError(
        f"{_host(answer)} gave no usable answer ({_words(answer)})",
        hint=_advice(answer),
        retry_after=retry_after(answer, now),
        answered=True,
    )


def is_web_page(answer: requests.Response) -> bool:
    """Return whether an answer is a page for people: a network's own sign-in page comes with 200."""
    return answer.content.lstrip().startswith(b"<")


def _host(answer: requests.Response) -> str:
    return urlsplit(answer.url).netloc


def _error(answer: requests.Response) -> str | None:
    error = (json_object(answer) or {}).get("error")
    return error if isinstance(error, str) and error else None


def _is_bare_refusal(answer: requests.Response) -> bool:
    return answer.status_code in (400, 401) and not answer.content.strip()


def _is_about_what_was_sent(answer: requests.Response, error: str | None) -> bool:
    """Tell whether an error, known or not, blames the request, and neither the client nor the moment."""
    if error is None or error in _CLIENT_ERRORS or error in _PASSING_ERRORS:
        return False
    blamed = 400 <= answer.status_code < 500 and answer.status_code not in _PASSING_STATUSES
    return blamed or error in _AMBIGUOUS_ERRORS


def _words(answer: requests.Response) -> str:
    """Describe an answer without quoting anything that may hold a secret."""
    status, body = answer.status_code, json_object(answer)
    if not answer.content.strip():
        return f"{status}, empty"
    error = _error(answer)
    if error is not None:
        return f"{status} {error}" if _ERROR_NAME.fullmatch(error) else f"{status}, an error without a name"
    if body is not None:
        return f"{status}, JSON without an access token"
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return f"{status}, {kind if _CONTENT_TYPE.fullmatch(kind) else 'unknown content'}"


def _advice(answer: requests.Response) -> str:
    status = answer.status_code
    if 300 <= status < 400:
        return "It sends elsewhere, and nothing was sent there: set token_endpoint to the final address."
    if status < 300 and json_object(answer) is None:
        return "A page in place of an answer comes from a proxy, or from a network's own sign-in page."
    if status in (404, 405, 410) or status < 300:
        return "Check the provider's addresses."
    return "Try again in a few minutes; if it goes on, check the provider's addresses."
