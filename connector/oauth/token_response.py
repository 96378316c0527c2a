"""Interpret a token endpoint's response: return a token set or the error.

The body takes precedence over the status: servers differ in the status, gateways in the body.
"""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import urlsplit

import requests

from connector.errors import (
    Action,
    ClientRefusedError,
    CodeRefusedError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
)
from connector.oauth.error_name import Outcome, error_name, meaning, read_fields
from connector.oauth.http import json_object, retry_after
from connector.oauth.token_set import TokenSet

__all__ = [
    "Outcome",
    "code_refusal",
    "grant_refusal",
    "granted",
    "not_spent",
    "outcome",
    "revocation_refusal",
    "spent",
]

_START_AGAIN = "The code cannot be sent a second time: start again."
_PASSING_STATUSES = {425, 429, 503}
_CONTENT_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,30}")


def granted(response: requests.Response, *, received_at: datetime) -> TokenSet | None:
    """Return the token set in a response, or None if it grants none.

    Args:
        response: the response.
        received_at: when it arrived.

    Raises:
        connector.errors.ClientRefusedError: it grants a token that is not a bearer token.
    """
    body = read_fields(response)
    if not isinstance(body, dict) or (response.status_code >= 300 and error_name(response) is not None):
        return None
    try:
        tokens = TokenSet.from_response(body, received_at=received_at)
    except ValueError:
        return None
    kind = body.get("token_type")
    del body  # the frames of an error must not hold a token
    if isinstance(kind, str) and kind.strip() and not kind.strip().lower().startswith("bearer"):
        # RFC 6749 §7.1: a token of a type that is not understood must not be used.
        error = ClientRefusedError(
            f"{_host(response)} grants tokens that are not bearer tokens",
            hint="Ask the provider to register the client for bearer tokens.",
        )
        error.granted = True
        raise error
    return tokens


def outcome(response: requests.Response) -> Outcome:
    """Return the meaning of a response that grants nothing."""
    name, status = error_name(response), response.status_code
    by_name = None if name is None else meaning(name)
    if by_name is not None:
        return by_name
    if status in _PASSING_STATUSES:
        return Outcome.PASSING
    if status == 408 or status >= 500 or status < 300:
        return Outcome.LOST
    if name is not None and status >= 400:
        return Outcome.DOUBTFUL
    # An empty refusal, or one in the server's own words without an error name.
    if status in (400, 401) and not is_web_page(response):
        return Outcome.DOUBTFUL
    return Outcome.UNUSABLE


def code_refusal(response: requests.Response, *, now: float) -> ConnectorError:
    """Return the error for a code that was not exchanged."""
    if outcome(response) in (Outcome.DEAD, Outcome.DOUBTFUL):
        return CodeRefusedError(
            f"{_host(response)} did not accept the code ({_words(response)}): it is too old, was used "
            "before, or belongs to another request",
            hint=f"{_START_AGAIN} If a fresh code is refused too, check ORMCO_CLIENT_SECRET and "
            "ORMCO_REDIRECT_URI.",
        )
    return spent(_other_refusal(response, now))


def spent(error: ConnectorError) -> ConnectorError:
    """Return an error of an exchange that was sent: another attempt needs a new code in any case."""
    error.hint = f"{error.hint} {_START_AGAIN}"
    if isinstance(error, ProviderUnavailableError):
        error.action = Action.ASK_CONSENT
    return error


def not_spent(error: ConnectorError) -> ConnectorError:
    """Return an error of an exchange that was never sent."""
    error.hint = f"{error.hint} The code was not sent, and can be used until it expires."
    return error


def grant_refusal(response: requests.Response, *, now: float) -> ConnectorError:
    """Return the error for a refresh that gave no new token set."""
    found = outcome(response)
    if found in (Outcome.DEAD, Outcome.DOUBTFUL):
        return GrantRefusedError(
            f"{_host(response)} refused the refresh token ({_words(response)})",
            hint="The practice has to give access again.",
            certain=found is Outcome.DEAD,
        )
    return _other_refusal(response, now)


def revocation_refusal(response: requests.Response, *, hint: str, now: float) -> ConnectorError | None:
    """Return the error for a token that was not revoked; None if it is not valid any more.

    Args:
        response: the response.
        hint: "refresh_token" or "access_token".
        now: seconds since 1970, for a `Retry-After` date.
    """
    name, status = error_name(response), response.status_code
    found = outcome(response)
    if name == "access_denied":
        return _may_not_revoke(response)
    if found is Outcome.DEAD or (200 <= status < 300 and name is None and not is_web_page(response)):
        return None
    # RFC 7009 §2.2.1, or a server's own words. Access tokens end by themselves: the proof decides.
    if hint == "access_token" and (name == "unsupported_token_type" or found is Outcome.DOUBTFUL):
        return None
    if name == "unsupported_token_type":
        return _may_not_revoke(response)
    # Public clients get this if only confidential clients may revoke.
    if found is not Outcome.CLIENT and status in (401, 403) and not is_web_page(response):
        return _may_not_revoke(response)
    return _other_refusal(response, now)


def is_web_page(response: requests.Response) -> bool:
    """Return whether a response is a web page: a network's sign-in page, for example, has status 200."""
    return response.content.lstrip().startswith(b"<")


def _other_refusal(response: requests.Response, now: float) -> ConnectorError:
    """Return the error for a response that is about neither the code nor the grant."""
    found = outcome(response)
    if found is Outcome.CLIENT:
        return ClientRefusedError(
            f"{_host(response)} does not accept the client registration ({_words(response)})",
            hint="Check ORMCO_CLIENT_ID, ORMCO_CLIENT_SECRET, ORMCO_REDIRECT_URI and ORMCO_SCOPE against the "
            "provider's registration; in a provider file, client_auth and basic_encoding too.",
        )
    return ProviderUnavailableError(
        f"{_host(response)} gave no usable response ({_words(response)})",
        hint=_advice(response),
        retry_after=retry_after(response, now),
        answered=found is not Outcome.LOST,
    )


def _may_not_revoke(response: requests.Response) -> ClientRefusedError:
    return ClientRefusedError(
        f"{_host(response)} does not let this client revoke ({_words(response)})",
        hint="Remove access on the provider's own pages, or with a client that has a secret.",
    )


def _host(response: requests.Response) -> str:
    return urlsplit(response.url).netloc


def _words(response: requests.Response) -> str:
    """Describe a response without quoting anything that may hold a secret."""
    status, name = response.status_code, error_name(response)
    if not response.content.strip():
        return f"{status}, empty"
    if name is not None:
        return f"{status} {name}" if name else f"{status}, an error without a name"
    if json_object(response) is not None:
        return f"{status}, JSON without an access token"
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return f"{status}, {kind if _CONTENT_TYPE.fullmatch(kind) else 'unknown content'}"


def _advice(response: requests.Response) -> str:
    status = response.status_code
    if 300 <= status < 400:
        return "It redirects, and nothing was sent to the new address: set token_endpoint to the final one."
    if status < 300 and json_object(response) is None:
        return "A web page instead of a response comes from a proxy, or is a network's sign-in page."
    if status in (404, 405, 410) or status < 300:
        return "Check the provider's addresses."
    return "Try again in a few minutes; if this continues, check the provider's addresses."
