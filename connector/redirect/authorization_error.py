"""What the provider means when it sends `error=…` instead of a code (RFC 6749 §4.1.2.1)."""

from __future__ import annotations

import re

from connector.errors import (
    AuthorizationResponseError,
    ClientRefusedError,
    ConnectorError,
    ConsentDeniedError,
    ProviderUnavailableError,
)

__all__ = ["authorization_error"]

_AGAIN = "Ask for access again"
_CONFIGURATION = (
    "Check the client id, redirect URI and scope with `ormco doctor`; 3Shape knows what is registered"
)
_MEANINGS: dict[str, tuple[type[ConnectorError], str, str]] = {
    "access_denied": (
        ConsentDeniedError,
        "the practice did not allow access: Cancel was pressed on the Authorize page",
        "If that was by mistake, ask for access again and press Allow access",
    ),
    "unauthorized_client": (
        ClientRefusedError,
        "the provider does not let this client ask for access",
        _CONFIGURATION,
    ),
    "unsupported_response_type": (
        ClientRefusedError,
        "the provider does not give this client authorization codes",
        _CONFIGURATION,
    ),
    "invalid_scope": (
        ClientRefusedError,
        "the provider does not give this client the scope it asks for",
        "Set ORMCO_SCOPE or --scope to what is registered for the client, then ask for access again",
    ),
    "invalid_request": (
        ClientRefusedError,
        "the provider did not understand the request for access",
        _CONFIGURATION,
    ),
    "server_error": (
        ProviderUnavailableError,
        "the provider had an error of its own",
        "Ask for access again in a few minutes",
    ),
    "temporarily_unavailable": (
        ProviderUnavailableError,
        "the provider is overloaded or under maintenance",
        "Ask for access again in a few minutes",
    ),
}


def authorization_error(name: str, description: str = "", state: str | None = None) -> ConnectorError:
    """Return the error that stands for an error response.

    Args:
        name: the value of `error`.
        description: the value of `error_description`. Only its ordinary words are repeated.
        state: of the request that is answered, so that it can be closed.
    """
    shown = name if re.fullmatch(r"[a-z_]{1,40}", name) else "that is not fit to be shown"
    unknown = (AuthorizationResponseError, f"the provider answered with the error {shown}", _AGAIN)
    kind, fact, hint = _MEANINGS.get(name, unknown)
    words = _words_of(description)
    error = kind(f"{fact} (it says: {words})" if words else fact, hint=hint)
    error.state = state
    return error


def _words_of(description: str) -> str:
    """Return the ordinary words of a foreign text: no control character, nothing like a secret."""
    words = [
        word if re.fullmatch(r"[A-Za-z'\-]{1,20}[.,;:!?]?|\d{1,6}[.,]?", word) else "…"
        for word in description[:200].replace("+", " ").split()
    ]
    return " ".join(words) if any(word != "…" for word in words) else ""
