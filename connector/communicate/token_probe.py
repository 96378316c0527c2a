"""Does the provider's API take an access token? Asked without reading anything out."""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

from connector.communicate.account import account_url
from connector.errors import ProviderUnavailableError
from connector.oauth.http import BearerAuth, call, open_session, retry_after
from connector.oauth.provider import Provider

__all__ = ["TokenVerdict", "probe_token"]


class TokenVerdict(StrEnum):
    """What an API thinks of an access token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DOUBTFUL = "doubtful"  # 500, which some of 3Shape's hosts answer to a token that has ended
    UNASKED = "unasked"  # the provider has nothing to ask


def probe_token(provider: Provider, access_token: str, *, now: float) -> TokenVerdict:
    """Show an access token to the API that names its account.

    Args:
        provider: whose token it is.
        access_token: the token.
        now: seconds since 1970, for a `Retry-After` date.

    Raises:
        connector.errors.ProviderUnavailableError: if the API gives no answer of its own.
    """
    auth = BearerAuth(access_token)
    del access_token
    url = account_url(provider)
    if url is None:
        return TokenVerdict.UNASKED
    with open_session() as session:
        response = call(session, "GET", url, auth=auth)
    verdict = {
        200: TokenVerdict.ACCEPTED,
        401: TokenVerdict.REFUSED,
        403: TokenVerdict.ACCEPTED,  # it is known; it may only not do this
        500: TokenVerdict.DOUBTFUL,
    }.get(response.status_code)
    if verdict is None or (
        response.status_code == 200 and "html" in response.headers.get("Content-Type", "")
    ):
        raise ProviderUnavailableError(
            f"{urlsplit(url).netloc} gave no usable answer ({response.status_code})",
            hint="Try again in a few minutes.",
            retry_after=retry_after(response, now),
        )
    return verdict
