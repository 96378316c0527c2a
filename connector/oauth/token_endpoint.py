"""Exchange, refresh, revoke: the calls to a token endpoint.

The only module that uses requests-oauthlib. Its session exchanges codes and sends the other requests, which
differ only in their bodies. `token_response` reads the responses, because oauthlib loses a granted token if
the scope has changed, and treats an outage as a missing token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import requests
from oauthlib.oauth2 import WebApplicationClient
from requests.auth import HTTPBasicAuth
from requests.exceptions import RequestException
from requests_oauthlib import OAuth2Session

from connector.clock import Clock
from connector.errors import ConnectorError, ProviderUnavailableError, SettingError
from connector.oauth.http import StatelessSession, Transport, failure
from connector.oauth.provider import ClientRegistration, Provider
from connector.oauth.token_response import (
    code_refusal,
    grant_refusal,
    granted,
    not_spent,
    revocation_refusal,
    spent,
)
from connector.oauth.token_set import TokenSet
from connector.redact import Secret, quiet_oauth_loggers

__all__ = ["TokenEndpoint"]

_FORM = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}

Refusal = Callable[..., ConnectorError]


class TokenEndpoint:
    """One provider's token and revocation endpoints, for one client registration.

    Thread-safe; keeps connections open between calls.

    Args:
        provider: the provider, with its endpoints known.
        client: the client registration to authenticate as.
        clock: the clock for the time at which a response arrives.
        transport: the transport; by default a new one.
    """

    def __init__(
        self,
        provider: Provider,
        client: ClientRegistration,
        *,
        clock: Clock,
        transport: Transport | None = None,
    ) -> None:
        if provider.token_endpoint is None:
            raise SettingError(
                "the provider's token endpoint is not known", hint="Set token_endpoint in the provider file."
            )
        quiet_oauth_loggers()
        self._provider = provider
        self._client_id = client.client_id
        self.has_secret = bool(client.client_secret)
        self._clock = clock
        self._url = provider.token_endpoint
        self._transport = transport or Transport()
        self._auth, self._auth_fields = _client_auth(provider, client)
        self._session = self._new_session()
        self._prepared: dict[str, requests.PreparedRequest] = {}

    def exchange(self, code: str, *, redirect_uri: str, code_verifier: str | None) -> TokenSet:
        """Exchange an authorization code (RFC 6749 §4.1.3); sent at most once.

        Args:
            code: the code, fully decoded.
            redirect_uri: that of the authorization request, byte for byte.
            code_verifier: the request's PKCE secret, or None.

        Raises:
            connector.errors.CodeRefusedError: the code is not accepted.
            connector.errors.ClientRefusedError: the client is not accepted.
            connector.errors.ProviderUnavailableError: no usable response.
        """
        secrets = {"code": Secret(code), "code_verifier": Secret(code_verifier)}
        del code, code_verifier
        try:
            response = self._exchange(secrets, redirect_uri)
        except ProviderUnavailableError as exc:
            raise (spent(exc) if exc.sent else not_spent(exc)) from None
        return self._granted(response, code_refusal)

    def refresh(self, refresh_token: str) -> TokenSet:
        """Get a new token set (RFC 6749 §6); the refresh token is kept if the response has no new one.

        Raises:
            connector.errors.GrantRefusedError: the grant is, or may be, dead.
            connector.errors.ClientRefusedError: the client is not accepted.
            connector.errors.ProviderUnavailableError: no usable response.
        """
        secret = Secret(refresh_token)
        del refresh_token
        response = self._post(self._url, {"grant_type": "refresh_token", "refresh_token": secret})
        tokens = self._granted(response, grant_refusal)
        return tokens if tokens.refresh_token else replace(tokens, refresh_token=secret.reveal())

    def revoke(self, token: str, *, hint: str) -> None:
        """Revoke a token at the revocation endpoint (RFC 7009).

        Args:
            token: a refresh or access token; one that the server does not know counts as revoked.
            hint: "refresh_token" or "access_token".

        Raises:
            connector.errors.SettingError: the provider has no revocation endpoint.
            connector.errors.ClientRefusedError: the client is not accepted there.
            connector.errors.ProviderUnavailableError: it could not be revoked now.
        """
        secret = Secret(token)
        del token
        url = self._provider.revocation_endpoint
        if url is None:
            raise SettingError(
                "the provider has no revocation endpoint", hint="Remove access on the provider's own pages."
            )
        response = self._post(url, {"token": secret, "token_type_hint": hint})
        error = revocation_refusal(response, hint=hint, now=self._clock.time())
        if error is not None:
            raise error

    def close(self) -> None:
        """Close the network connections."""
        self._transport.close()

    def _exchange(self, secrets: Mapping[str, Secret], redirect_uri: str) -> requests.Response:
        """Send a code through requests-oauthlib; return the unchanged response."""
        session = self._new_session(redirect_uri=redirect_uri)
        session.plain = urlsplit(self._url).scheme == "http"
        responses: list[requests.Response] = []

        def keep(response: requests.Response) -> requests.Response:
            """Keep the unchanged response, so that oauthlib does not interpret it."""
            responses.append(response)
            return _UNREMARKABLE

        session.register_compliance_hook("access_token_response", keep)
        try:
            session.fetch_token(
                f"https{self._url[4:]}" if session.plain else self._url,
                auth=self._auth,
                include_client_id=self._auth is None,
                **cast(Any, _revealed({**secrets, "client_secret": self._auth_fields.get("client_secret")})),
            )
            return responses[0]
        except RequestException as exc:
            error = failure(exc, self._url)
        raise error  # here, so that the error references no library frame, which holds the code

    def _post(self, url: str, form: Mapping[str, str | Secret]) -> requests.Response:
        """Send a form with the client's own credentials."""
        try:
            prepared = self._prepared.get(url)
            if prepared is None:  # prepared once, without a body
                request = requests.Request("POST", url, headers=_FORM, auth=self._auth)
                prepared = self._prepared[url] = self._session.prepare_request(request)
            post = prepared.copy()
            post.body = urlencode(_revealed({**form, **self._auth_fields}))
            post.headers["Content-Length"] = str(len(post.body))
            return self._transport.send(post)
        except RequestException as exc:
            error = failure(exc, url)
        raise error

    def _new_session(self, *, redirect_uri: str | None = None) -> _Session:
        session = _Session(client=WebApplicationClient(self._client_id), redirect_uri=redirect_uri)
        session.mount("https://", self._transport)
        session.mount("http://", self._transport)
        return session

    def _granted(self, response: requests.Response, refused: Refusal) -> TokenSet:
        now = self._clock.utc_now()
        tokens = granted(response, received_at=now)
        if tokens is None:
            raise refused(response, now=now.timestamp())
        return tokens


class _Session(StatelessSession, OAuth2Session):
    # oauthlib accepts no http:// address unless a process-wide variable allows them all. It gets https://;
    # the request gets its own scheme back on its way out, and the transport keeps plain http on this machine.
    plain = False

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        if self.plain:
            request.url = (request.url or "").replace("https:", "http:", 1)
        return super().send(request, **kwargs)


def _client_auth(
    provider: Provider, client: ClientRegistration
) -> tuple[HTTPBasicAuth | None, Mapping[str, str | Secret]]:
    """Return the `auth` that sets the Authorization header, and the fields for the body."""
    client_id, secret = client.client_id, client.client_secret or ""
    method = provider.client_auth or ("client_secret_basic" if secret else "none")
    if method == "none":
        return None, {"client_id": client_id}
    if method == "client_secret_post":
        return None, {"client_id": client_id, "client_secret": Secret(secret)}
    if provider.basic_encoding == "rfc6749":
        client_id, secret = quote(client_id, safe=""), quote(secret, safe="")
    # Bytes: requests would send text as Latin-1.
    return HTTPBasicAuth(*cast(tuple[str, str], (client_id.encode(), secret.encode()))), {}


def _revealed(form: Mapping[str, str | Secret | None]) -> dict[str, str]:
    """Return a form's fields with their secrets revealed, without unset ones."""
    return {
        name: text
        for name, value in form.items()
        if (text := value.reveal() if isinstance(value, Secret) else value) is not None
    }


def _unremarkable() -> requests.Response:
    # A harmless response that oauthlib parses instead of the real one.
    response = requests.Response()
    response._content = b'{"access_token": "-", "token_type": "Bearer"}'
    response.encoding = "utf-8"
    return response


_UNREMARKABLE = _unremarkable()
