"""What an OpenID Connect id_token has to say before its token set is believed."""

from __future__ import annotations

import hmac
from datetime import datetime

from connector.errors import StateMismatchError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.provider import Provider
from connector.oauth.token_set import TokenSet, jwt_claims
from connector.redact import fingerprint

__all__ = ["check_id_token"]

_LEEWAY = 300.0


def check_id_token(
    tokens: TokenSet, request: AuthorizationRequest, provider: Provider, *, client_id: str, now: datetime
) -> None:
    """Prove that an id_token answers this request (OpenID Connect Core §3.1.3.7).

    It came from the token endpoint itself over TLS, which stands in for its signature (item 6 there).

    Raises:
        connector.errors.StateMismatchError: if it belongs to another request, client or issuer.
    """
    if request.nonce is None or (tokens.id_token is None and request.code_verifier is not None):
        return  # not asked for; or not sent, and PKCE has bound the code to this request
    claims = jwt_claims(tokens.id_token or "")
    audience = claims.get("aud")
    expiry = claims.get("exp")
    checks = {
        "nonce": hmac.compare_digest(fingerprint(str(claims.get("nonce"))), fingerprint(request.nonce)),
        "audience": client_id in (audience if isinstance(audience, list) else [audience])
        and claims.get("azp") in (None, client_id),
        "issuer": provider.issuer is None or claims.get("iss") == provider.issuer,
        "expiry": isinstance(expiry, int | float) and expiry > now.timestamp() - _LEEWAY,
    }
    wrong = [name for name, holds in checks.items() if not holds]
    if wrong:
        raise StateMismatchError(
            f"the provider's id_token does not answer this request (wrong: {', '.join(wrong)})",
            hint="The tokens were not kept. Start again; if it happens twice, report it to Ormco support.",
        )
