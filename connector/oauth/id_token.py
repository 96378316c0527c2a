"""Check an OpenID Connect id_token before its token set is accepted."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from connector.errors import SettingError, StateMismatchError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.provider import Provider
from connector.oauth.token_set import TokenSet, finite, jwt_claims
from connector.redact import fingerprint

__all__ = ["check_id_token", "subject"]

_START_AGAIN = "The tokens were not stored. Start again; if it happens twice, report it to Ormco support."


def check_id_token(
    tokens: TokenSet,
    request: AuthorizationRequest,
    provider: Provider,
    *,
    client_id: str,
    now: datetime,
    leeway: float,
) -> None:
    """Check that an id_token belongs to this request (OpenID Connect Core §3.1.3.7).

    Args:
        tokens: the granted tokens.
        request: their authorization request; without a nonce it requested no id_token.
        provider: the provider; only its issuer is accepted.
        client_id: the id that the audience must name.
        now: the time by this machine's clock.
        leeway: seconds by which the two clocks may differ.

    Raises:
        connector.errors.StateMismatchError: if it is missing, or for another request, client or issuer.
        connector.errors.SettingError: if it has expired by this machine's clock.
    """
    if request.nonce is None:
        return
    if tokens.id_token is None:
        raise StateMismatchError(
            "the provider sent no id_token, although openid was requested",
            hint=f"Leave openid out of the scope if the provider does not know it. {_START_AGAIN}",
        )
    claims = jwt_claims(tokens.id_token)
    end = finite(claims.get("exp"))
    checks = {
        "nonce": hmac.compare_digest(fingerprint(str(claims.get("nonce"))), fingerprint(request.nonce)),
        "audience": _is_for(client_id, claims),
        "issuer": provider.issuer is not None and claims.get("iss") == provider.issuer,
        "expiry": end is not None,
        "subject": bool(subject(tokens)),
        "signature": _is_vouched_for(tokens.id_token, provider),
    }
    wrong = [name for name, holds in checks.items() if not holds]
    if wrong:
        raise StateMismatchError(
            f"the provider's id_token does not match this request (wrong: {', '.join(wrong)})",
            hint=_START_AGAIN,
        )
    late = now.timestamp() - (end or 0.0)
    if late > leeway:
        raise SettingError(
            f"by this machine's clock ({now:%Y-%m-%d %H:%M} UTC), the provider's new id_token expired "
            f"{timedelta(seconds=round(late))} (h:mm:ss) ago",
            hint="Set this machine's clock, then start again. If the provider's clock is the wrong one, "
            "allow for the difference with ORMCO_CLOCK_LEEWAY (seconds).",
        )


def subject(tokens: TokenSet) -> str | None:
    """Return the `sub` of a checked id_token; None if there is no id_token or no `sub`."""
    found = jwt_claims(tokens.id_token or "").get("sub")
    return found if isinstance(found, str) else None


def _is_for(client_id: str, claims: Mapping[str, object]) -> bool:
    """Return whether the client is the audience; `azp` must name it if present, or if there are several."""
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = audience if isinstance(audience, list) else [audience]
    return client_id in audiences and (party == client_id or (party is None and len(audiences) == 1))


def _is_vouched_for(token: str, provider: Provider) -> bool:
    """Return whether an id_token is authentic.

    TLS to the token endpoint replaces the check of the signature (OpenID Connect Core §3.1.3.7, item 6).
    Without TLS, which is possible only for servers on this machine, it must at least have a signature.
    """
    over_tls = urlsplit(provider.token_endpoint or "").scheme == "https"
    algorithm = jwt_claims(token, part=0).get("alg")
    return over_tls or (isinstance(algorithm, str) and algorithm.lower() not in ("", "none"))
