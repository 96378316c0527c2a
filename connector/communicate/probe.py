"""Shows an access token to the API that names its account: is it still accepted?"""

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
    """What an API makes of an access token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DOUBTFUL = "doubtful"  # 500, which some of 3Shape's hosts answer to a token that has ended
    UNASKED = "unasked"  # the provider has no API to ask


_VERDICTS = {
    200: TokenVerdict.ACCEPTED,
    401: TokenVerdict.REFUSED,
    403: TokenVerdict.ACCEPTED,  # it is known; it may only not do this
    500: TokenVerdict.DOUBTFUL,
}


def probe_token(provider: Provider, access_token: str, *, clock: Clock) -> TokenVerdict:
    """Return what the API makes of an access token, without reading anything out.

    Raises:
        connector.errors.ProviderUnavailableError: the API gives no answer of its own.
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
