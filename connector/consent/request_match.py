"""Find the open request that a response belongs to, before anything is sent to the provider."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from connector.errors import AuthorizationResponseError, ConnectorError, StateMismatchError
from connector.oauth.authorization_request import AuthorizationRequest, binding_digest
from connector.redirect.parse import AuthorizationResponse, parse_redirect
from connector.resources import Resources

__all__ = ["AnsweredBeforeError", "Captured", "no_such_request", "read_response"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A captured response: its request, its time, and whether the connector's own browser captured it."""

    request: AuthorizationRequest
    at: datetime
    by_own_browser: bool = True


class AnsweredBeforeError(StateMismatchError):
    """The same session has handed in the same response before.

    Attributes:
        request: the request that it belongs to.
        code: the authorization code in it.
    """

    def __init__(self, request: AuthorizationRequest, code: str) -> None:
        super().__init__("the request was answered before")
        self.request = request
        self.code = code


def read_response(
    resources: Resources,
    redirect_url: str,
    *,
    practice_id: str | None,
    binding: str | None,
    captured: Captured | None,
) -> tuple[AuthorizationResponse, AuthorizationRequest]:
    """Parse a response and find the request it belongs to; an error response closes its request.

    The request is found by the state if no practice is given. `binding` is the value with which it was begun;
    `captured` is set if the response was captured in the same call that made the request.

    Raises:
        connector.errors.AuthorizationResponseError: it cannot be used.
        connector.errors.ConsentDeniedError: the practice refused access.
    """
    provider, store = resources.provider, resources.store
    opened = [captured.request] if captured else store.requests.open_for(practice_id) if practice_id else []
    opened = [request for request in opened if request.binding == binding_digest(binding)]
    hosts = {
        urlsplit(request.redirect_uri).hostname or ""
        for request in (*opened, *_named(resources, redirect_url, binding))
    }
    try:
        response = parse_redirect(
            redirect_url,
            redirect_uri=resources.config.redirect_uri,
            code_format=provider.code_format,
            issuer=provider.issuer,
            landing_hosts=(*provider.landing_hosts, *hosts),
        )
    except ConnectorError as exc:
        if exc.state is not None:  # the provider answered with an error: this request is over
            request = _match(resources, exc.state, practice_id, binding, opened)
            store.requests.take(request.state)
        raise
    is_named = response.state is not None or practice_id is not None
    if is_named and store.requests.is_spent(response.code):
        _refuse_taken(resources, response, practice_id, binding)
    try:
        request = _match(resources, response.state, practice_id, binding, opened, captured)
    except StateMismatchError:
        if response.state is not None:  # the session's other call may have taken the request meanwhile
            _refuse_taken(resources, response, practice_id, binding)
        raise
    if response.iss is None and provider.returns_iss:
        raise AuthorizationResponseError(
            "the response does not name its issuer, as this provider's responses do",
            hint="Paste the whole address, from https:// to its end.",
        )
    return response, request


def _named(resources: Resources, redirect_url: str, binding: str | None) -> list[AuthorizationRequest]:
    """Return the request that the state in an address names: it may have another redirect URI."""
    try:
        states = parse_qs(urlsplit(redirect_url.strip()).query).get("state", [])
    except ValueError:
        return []
    requests, digest = resources.store.requests, binding_digest(binding)
    found = [
        requests.find(state) or requests.answered(state=state, practice_id=None, binding=digest)
        for state in states[:1]
    ]
    return [request for request in found if request is not None]


def _refuse_taken(
    resources: Resources, response: AuthorizationResponse, practice_id: str | None, binding: str | None
) -> None:
    """Refuse a response that the same session handed in before."""
    digest = binding_digest(binding)
    request = resources.store.requests.answered(state=response.state, practice_id=practice_id, binding=digest)
    if request is not None:
        raise AnsweredBeforeError(request, response.code)


def _match(
    resources: Resources,
    state: str | None,
    practice_id: str | None,
    binding: str | None,
    opened: list[AuthorizationRequest],
    captured: Captured | None = None,
) -> AuthorizationRequest:
    """Find the request that a response belongs to, or refuse the response."""
    if state is None:
        return _match_without_state(resources, practice_id, opened, captured)
    request = resources.store.requests.find(state)
    if request is None:
        raise no_such_request(practice_id)
    matches = (
        practice_id in (None, request.practice_id),
        hmac.compare_digest(request.binding or "", binding_digest(binding) or ""),
        request.provider == resources.provider.name,
        captured is None or request.state == captured.request.state,
    )
    if not all(matches):
        raise StateMismatchError(
            "the response belongs to a request of another practice, session or provider",
            hint="Nothing was sent to the provider. Begin again for this practice.",
            practice_id=practice_id,
        )
    return request


def _returns_state(resources: Resources, captured: Captured | None) -> bool:
    """Return whether a response without state is refused: the provider is known to return it."""
    provider = resources.provider
    if provider.returns_state is not None:
        return provider.returns_state
    if captured is not None and captured.by_own_browser:
        return False  # our own browser shows that the provider does not return it
    return resources.store.requests.returned_state(provider.name)


def _match_without_state(
    resources: Resources,
    practice_id: str | None,
    opened: list[AuthorizationRequest],
    captured: Captured | None,
) -> AuthorizationRequest:
    if practice_id is None or _returns_state(resources, captured):
        raise StateMismatchError(
            "the response has no state, so it is not known which request it belongs to",
            hint="Paste the whole address, from https:// to its end, not the code alone. If it has no state "
            "either, connect in a browser opened for it.",
            practice_id=practice_id,
        )
    if captured is not None and captured.by_own_browser:
        return captured.request
    if not resources.provider.tells_account:
        raise StateMismatchError(
            "the response has no state, and the provider does not name the account: "
            "anyone could have sent it",
            hint="Connect in one call, in a browser that is opened for it.",
            practice_id=practice_id,
        )
    if captured is not None:
        return captured.request
    if len(opened) == 1:
        return opened[0]
    if opened:
        raise StateMismatchError(
            f"{len(opened)} requests are open for this practice; the response names none of them",
            hint="Paste the whole address, or wait until the older links have expired (ten minutes).",
        )
    raise no_such_request(practice_id)


def no_such_request(practice_id: str | None) -> StateMismatchError:
    """Return the error for a response that matches no open request."""
    return StateMismatchError(
        "no open request belongs to this response: it was answered before, is too old, or began elsewhere",
        hint="Begin again and use the address of the new attempt.",
        practice_id=practice_id,
    )
