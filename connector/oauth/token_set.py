"""Access token, refresh token and expiry."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

__all__ = ["TokenSet", "finite", "jwt_claims"]

_LONGEST_LIFETIME = 10 * 365 * 86400.0
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """The tokens that a token endpoint granted.

    Attributes:
        access_token: the bearer token.
        refresh_token: the refresh token, or None.
        received_at: when the response arrived.
        expires_at: when the access token expires, or None if the provider did not state it.
        scope: space-separated, as granted, or None if the provider did not state it.
        id_token: the OpenID Connect id_token, or None.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    received_at: datetime
    expires_at: datetime | None = None
    scope: str | None = None
    id_token: str | None = field(default=None, repr=False)

    @classmethod
    def from_response(cls, response: Mapping[str, object], *, received_at: datetime) -> TokenSet:
        """Read a token endpoint's JSON object; tolerate any fault except in the access token itself.

        Args:
            response: the parsed JSON object of a successful response.
            received_at: when it arrived.

        Raises:
            ValueError: if there is no usable `access_token`.
        """
        access_token = _token_text(response.get("access_token"))
        if access_token is None:
            raise ValueError("no usable access_token")
        return cls(
            access_token=access_token,
            refresh_token=_refresh_token_text(response.get("refresh_token")),
            received_at=received_at,
            expires_at=_expiry(response.get("expires_in"), access_token, received_at),
            scope=_scope_text(response.get("scope")),
            id_token=_token_text(response.get("id_token")),
        )


def jwt_claims(token: str, *, part: int = 1) -> dict[str, object]:
    """Return the claims of a JSON Web Token without checking its signature, or {} for any other token.

    Args:
        token: in its compact form.
        part: 0 for its header, 1 for its claims.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[part] + "=" * (-len(parts[part]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _token_text(value: object) -> str | None:
    # RFC 6749 A.12. Any other character could break out of the Authorization header.
    if isinstance(value, str) and value.strip() and value.isascii() and value.isprintable():
        return value
    return None


def _refresh_token_text(value: object) -> str | None:
    # It is only sent in a form, which encodes any character except half of a surrogate pair.
    return value if isinstance(value, str) and value.strip() and not _SURROGATE.search(value) else None


def _scope_text(value: object) -> str | None:
    if isinstance(value, list):  # some servers send a list
        value = " ".join(item for item in value if isinstance(item, str))
    if not isinstance(value, str):
        return None
    scope = " ".join(value.split())
    return scope if scope.isprintable() else None


def _expiry(expires_in: object, access_token: str, received_at: datetime) -> datetime | None:
    claims = jwt_claims(access_token)
    end, begin = finite(claims.get("exp")), finite(claims.get("iat"))
    lifetimes = [finite(expires_in)]
    if end is not None and begin is not None and end > begin:
        lifetimes.append(end - begin)  # by the issuer's own clock
    known = [life for life in lifetimes if life is not None]
    if not known and end is not None and end > received_at.timestamp():
        known = [end - received_at.timestamp()]
    if not known:
        return None
    # The shortest one: seconds given as milliseconds would be 41 days. One below 0 counts as 0.
    return received_at + timedelta(seconds=min(max(min(known), 0.0), _LONGEST_LIFETIME))


def finite(value: object) -> float | None:
    """Return a number, also from text; None for any other value (words, true, NaN, infinity)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
