"""Find out from the API that names the account whether an access token is still accepted."""

from __future__ import annotations

from enum import StrEnum

from connector.clock import Clock
from connector.communicate.client import ApiClient, unexpected_response
from connector.communicate.users import account_url
from connector.oauth.http import retry_after
from connector.oauth.provider import Provider
from connector.redact import Secret

__all__ = ["TokenVerdict", "probe_token"]


class TokenVerdict(StrEnum):
    """The verdict of an API on an access token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DOUBTFUL = "doubtful"  # 500, which some of 3Shape's hosts answer to a token that has ended
    UNASKED = "unasked"  # the provider has no such API


_VERDICTS = {
    200: TokenVerdict.ACCEPTED,
    401: TokenVerdict.REFUSED,
    403: TokenVerdict.ACCEPTED,  # the token is known, but may not do this
    500: TokenVerdict.DOUBTFUL,
}


def probe_token(provider: Provider, access_token: str, *, clock: Clock) -> TokenVerdict:
    """Return the API's verdict on an access token, without reading any data.

    Raises:
        connector.errors.ProviderUnavailableError: the API gives no usable response.
    """
    token = Secret(access_token)
    del access_token
    url = account_url(provider)
    if url is None:
        return TokenVerdict.UNASKED
    response = ApiClient(lambda _: token.reveal() or "", origins=[url], clock=clock).send("GET", url)
    status, kind = response.status_code, response.headers.get("Content-Type", "")
    if status not in _VERDICTS or (status == 200 and "html" in kind):
        wait = retry_after(response, clock.time())
        raise unexpected_response(url, f"no usable answer ({status})", wait=wait)
    return _VERDICTS[status]
