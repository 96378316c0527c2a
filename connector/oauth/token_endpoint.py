"""Exchange, refresh, revoke: the calls to a token endpoint.

The only module that uses requests-oauthlib. Its session exchanges codes and sends the other requests, which
are all alike but for their bodies; the answers are read in `token_answer`, because oauthlib loses a granted
token over a changed scope and takes an outage for a missing token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import requests
from oauthlib.oauth2 import WebApplicationClient
from requests.auth import HTTPBasicAuth
from requests.exceptions import RequestException
from requests_oauthlib import OAuth2Session

from connector.clock import Clock
from connector.errors import ClientRefusedError, ConnectorError, ProviderUnavailableError, SettingError
from connector.oauth.http import StatelessSession, Transport, failure
from connector.oauth.provider import ClientRegistration, Provider
from connector.oauth.token_response import (
    START_AGAIN,
    code_refusal,
    grant_refusal,
    granted,
    is_web_page,
    refusal,
)
from connector.oauth.token_set import TokenSet
from connector.redact import quiet_oauth_loggers

__all__ = ["TokenEndpoint"]

_FORM = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}

Refusal = Callable[..., ConnectorError]


class TokenEndpoint:
    """One provider's token and revocation endpoints, for one client registration.

    Thread-safe; keeps connections open between calls.

    Args:
        provider: with its endpoints known.
        client: what to authenticate as.
        clock: for the moment an answer arrived.
    """

    def __init__(self, provider: Provider, client: ClientRegistration, *, clock: Clock) -> None:
        if provider.token_endpoint is None:
            raise SettingError(
                "the provider's token endpoint is not known", hint="Set token_endpoint in the provider file."
            )
        quiet_oauth_loggers()
        self._provider = provider
        self._client_id = client.client_id
        self._clock = clock
        self._url = provider.token_endpoint
        self._transport = Transport()
        self._auth, self._auth_fields = _client_auth(provider, client)
        self._session = self._new_session()
        self._forms: dict[str, requests.PreparedRequest] = {}

    def exchange(self, code: str, *, redirect_uri: str, code_verifier: str | None) -> TokenSet:
        """Exchange an authorization code (RFC 6749 §4.1.3); sent at most once.

        Args:
            code: fully decoded.
            redirect_uri: of the authorization request, byte for byte.
            code_verifier: PKCE secret of the request, or None.

        Raises:
            connector.errors.CodeRefusedError: the code is not accepted.
            connector.errors.ClientRefusedError: the client is not.
            connector.errors.ProviderUnavailableError: no answer of the provider's own.
        """
        verifier = {} if code_verifier is None else {"code_verifier": code_verifier}
        session = self._new_session(redirect_uri=redirect_uri)
        session.plain = urlsplit(self._url).scheme == "http"
        answers: list[requests.Response] = []

        def keep(response: requests.Response) -> requests.Response:
            """Keep the answer as it came, whatever oauthlib would make of it."""
            answers.append(response)
            return _UNREMARKABLE

        session.register_compliance_hook("access_token_response", keep)
        try:
            with _failures_in_words(self._url):
                session.fetch_token(
                    f"https{self._url[4:]}" if session.plain else self._url,
                    code=code,
                    auth=self._auth,
                    include_client_id=self._auth is None,
                    client_secret=self._auth_fields.get("client_secret"),
                    **cast(Any, verifier),
                )
            return self._granted(answers[0], code_refusal)
        except ProviderUnavailableError as exc:
            exc.hint = f"{exc.hint} {START_AGAIN}"
            raise

    def refresh(self, refresh_token: str) -> TokenSet:
        """Get a new token set (RFC 6749 §6); the refresh token stays where the answer brings none.

        Raises:
            connector.errors.GrantRefusedError: the grant is, or may be, dead.
            connector.errors.ClientRefusedError: the client is not accepted.
            connector.errors.ProviderUnavailableError: no answer of the provider's own.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        tokens = self._granted(self._post(self._url, form), grant_refusal)
        return tokens if tokens.refresh_token else replace(tokens, refresh_token=refresh_token)

    def revoke(self, token: str, *, hint: str) -> None:
        """Revoke a token at the revocation endpoint (RFC 7009).

        Args:
            token: a refresh or access token; one the server does not know counts as revoked.
            hint: "refresh_token" or "access_token".

        Raises:
            connector.errors.SettingError: the provider has no revocation endpoint.
            connector.errors.ClientRefusedError: the client is not accepted there.
            connector.errors.ProviderUnavailableError: it was not revoked, for now.
        """
        url = self._provider.revocation_endpoint
        if url is None:
            raise SettingError(
                "the provider has no revocation endpoint", hint="Access is taken back on its own pages."
            )
        answer = self._post(url, {"token": token, "token_type_hint": hint})
        if 200 <= answer.status_code < 300 and not is_web_page(answer):
            return
        error = refusal(answer, now=self._clock.time())
        if not isinstance(error, ClientRefusedError) and _is_forbidden(answer):
            # Public clients meet this where only confidential ones may revoke.
            error = ClientRefusedError(
                f"{urlsplit(url).netloc} does not let this client revoke ({answer.status_code})",
                hint="Access is taken back on the provider's own pages, or by a client with a secret.",
            )
        raise error

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._transport.close()

    def _post(self, url: str, form: Mapping[str, str]) -> requests.Response:
        """Send a form with the client's own credentials."""
        with _failures_in_words(url):
            request = self._form(url)
            request.prepare_body(urlencode({**form, **self._auth_fields}), files=None)
            return self._session.send(request, **self._transport.environment(url))

    def _form(self, url: str) -> requests.PreparedRequest:
        """Return a request that lacks its body only; the rest of it is prepared once."""
        prepared = self._forms.get(url)
        if prepared is None:
            request = requests.Request("POST", url, headers=_FORM, auth=self._auth)
            prepared = self._forms[url] = self._session.prepare_request(request)
        return prepared.copy()

    def _new_session(self, *, redirect_uri: str | None = None) -> _Session:
        session = _Session(client=WebApplicationClient(self._client_id), redirect_uri=redirect_uri)
        session.mount("https://", self._transport)
        session.mount("http://", self._transport)
        return session

    def _granted(self, answer: requests.Response, refused: Refusal) -> TokenSet:
        tokens = granted(answer, received_at=self._clock.utc_now())
        if tokens is None:
            raise refused(answer, now=self._clock.time())
        return tokens


class _Session(StatelessSession, OAuth2Session):
    # oauthlib takes no http:// address unless a process-wide variable allows them all. It is shown https://;
    # the request gets its own scheme back on its way out, and the transport keeps plain http on this machine.
    plain = False

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if self.plain:
            request.url = (request.url or "").replace("https:", "http:", 1)
        return super().send(request, **kwargs)


def _client_auth(
    provider: Provider, client: ClientRegistration
) -> tuple[HTTPBasicAuth | None, Mapping[str, str]]:
    """Return the Authorization header's maker, and the fields for the body."""
    client_id, secret = client.client_id, client.client_secret or ""
    method = provider.client_auth or ("client_secret_basic" if secret else "none")
    if method == "none":
        return None, {"client_id": client_id}
    if method == "client_secret_post":
        return None, {"client_id": client_id, "client_secret": secret}
    if provider.basic_encoding == "rfc6749":
        client_id, secret = quote(client_id, safe=""), quote(secret, safe="")
    # Bytes: requests would send text as Latin-1.
    return HTTPBasicAuth(*cast(tuple[str, str], (client_id.encode(), secret.encode()))), {}


@contextmanager
def _failures_in_words(url: str) -> Iterator[None]:
    try:
        yield
    except RequestException as exc:
        raise failure(exc, url) from None


def _unremarkable() -> requests.Response:
    # What oauthlib is given to parse in place of the answer.
    response = requests.Response()
    response._content = b'{"access_token": "-", "token_type": "Bearer"}'
    response.encoding = "utf-8"
    return response


_UNREMARKABLE = _unremarkable()


def _is_forbidden(answer: requests.Response) -> bool:
    return answer.status_code in (401, 403) and not is_web_page(answer)
