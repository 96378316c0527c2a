"""Authorization requests: state, nonce, PKCE, binding, and the authorization URL."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit, urlunsplit

from connector.errors import SettingError
from connector.oauth.provider import ClientRegistration, Provider

__all__ = ["LIFETIME", "AuthorizationRequest", "binding_digest"]

LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """An authorization request, which the response must match.

    Attributes:
        practice_id: the practice that gives consent.
        provider: name of the provider.
        url: the URL to open in the browser.
        state: 256 random bits; the response must contain them.
        nonce: 256 random bits that the id_token must contain, or None if `openid` is not requested.
        code_verifier: PKCE secret (RFC 7636), or None if the provider has no PKCE.
        binding: digest of the caller's own session secret, or None.
        redirect_uri: as registered; the token request repeats it byte for byte.
        scope: the requested scope, or None.
        created_at: when it was created; it expires ten minutes later.
        expected_account: e-mail address that the account must have, or None.
        allow_account_change: whether the account may differ from the connection's current one.
    """

    practice_id: str
    provider: str
    url: str = field(repr=False)
    state: str = field(repr=False)
    nonce: str | None = field(default=None, repr=False)
    code_verifier: str | None = field(default=None, repr=False)
    binding: str | None = field(default=None, repr=False)
    redirect_uri: str
    scope: str | None = None
    created_at: datetime
    expected_account: str | None = None
    allow_account_change: bool = False

    @classmethod
    def new(
        cls,
        practice_id: str,
        *,
        provider: Provider,
        client: ClientRegistration,
        now: datetime,
        binding: str | None = None,
    ) -> AuthorizationRequest:
        """Create a request with fresh secrets.

        Raises:
            connector.errors.SettingError: if the provider's authorization endpoint is not known.
        """
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48) if provider.pkce else None
        nonce = secrets.token_urlsafe(32) if "openid" in (client.scope or "").split() else None
        params = {
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uri,
            "response_type": "code",
            "scope": client.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": None if verifier is None else _s256(verifier),
            "code_challenge_method": None if verifier is None else "S256",
            **provider.authorization_params,
        }
        return cls(
            practice_id=practice_id,
            provider=provider.name,
            url=_with_query(provider.authorization_endpoint, params),
            state=state,
            nonce=nonce,
            code_verifier=verifier,
            binding=binding_digest(binding),
            redirect_uri=client.redirect_uri,
            scope=client.scope,
            created_at=now,
        )

    @property
    def expires_at(self) -> datetime:
        """When the request expires."""
        return self.created_at + LIFETIME


def binding_digest(binding: str | None) -> str | None:
    """Return the SHA-256 of a caller's session secret, which the store keeps instead; None for None."""
    return None if binding is None else hashlib.sha256(binding.encode()).hexdigest()


def _s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _with_query(endpoint: str | None, params: dict[str, str | None]) -> str:
    if endpoint is None:
        raise SettingError("the provider's authorization endpoint is not known")
    parts = urlsplit(endpoint)
    # RFC 6749 §3.1: keep the query of the endpoint's address.
    pairs = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params.items() if value]
    query = "&".join(filter(None, [parts.query, *pairs]))
    return urlunsplit(parts._replace(query=query, fragment=""))
