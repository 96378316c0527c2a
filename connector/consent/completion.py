"""Turn a response into a stored connection, and get that response in the same call.

A code is exchanged only once, even if it is handed in several times.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta

from connector.connection import AccountPolicy, Connection, refuse_while_revoking
from connector.consent.account import keep_unverified, revoke_fresh, verify_account
from connector.consent.account_policy import unconfirmed
from connector.consent.preparation import Progress, open_request, prepare
from connector.consent.request_match import AnsweredBeforeError, Captured, no_such_request, read_response
from connector.errors import (
    CodeSpentError,
    ConfigurationError,
    ConnectorError,
    ProviderUnavailableError,
    RequestExpiredError,
    SettingError,
    StateMismatchError,
)
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.id_token import check_id_token, subject
from connector.oauth.token_set import TokenSet
from connector.redirect.parse import AuthorizationResponse, CapturedUrl
from connector.resources import Resources

__all__ = ["Capture", "ConsentOptions", "complete", "connect"]

# Lifetimes of codes: DotNetOpenAuth's and IdentityServer's defaults, and the maximum of RFC 6749 §4.1.2.
_CODE_LIFETIMES = {"dotnetopenauth": timedelta(minutes=3), "identityserver": timedelta(minutes=5)}
_OTHER_CODE_LIFETIME = timedelta(minutes=10)
_SPENT_SECONDS = 2.0  # between the two writes of another call with the same response
_FIRST_CALL_SECONDS = 60.0

# Called as capture(url, redirect_uri=…). Returns the redirect URL, or a context manager for it. The context
# ends when the connection is stored or has failed, so that a window can show the person the result.
Capture = Callable[..., str | AbstractContextManager[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentOptions:
    """Options for consent in one call.

    Attributes:
        capture: opens the authorization URL and returns the redirect URL. If it has them, `check_settings` is
            called before anything else, and `check` before a person is asked.
        policy: the conditions on the account.
        progress: called with the name of each step as it is done: "settings", "store", "provider", "ready",
            "consent", "code", "tokens", "account".
    """

    capture: Capture
    policy: AccountPolicy = field(default_factory=AccountPolicy)
    progress: Progress = lambda step: None


def connect(resources: Resources, practice_id: str, options: ConsentOptions) -> Connection:
    """Get consent through a capture and store the connection; a failed attempt leaves no open request."""
    # Check first everything that would otherwise fail only after the practice has given consent.
    getattr(options.capture, "check_settings", lambda: None)()
    request = prepare(resources, practice_id, policy=options.policy, progress=options.progress)
    getattr(options.capture, "check", lambda: None)()
    options.progress("ready")
    try:
        open_request(resources, request)
        capture = options.capture(request.url, redirect_uri=request.redirect_uri)
        with nullcontext(capture) if isinstance(capture, str) else capture as redirect_url:
            own = isinstance(redirect_url, CapturedUrl)
            captured = Captured(request=request, at=resources.clock.utc_now(), by_own_browser=own)
            return complete(
                resources, redirect_url, practice_id=practice_id, captured=captured, progress=options.progress
            )
    except BaseException:
        resources.store.requests.take(request.state)
        raise


def complete(
    resources: Resources,
    redirect_url: str,
    *,
    practice_id: str | None = None,
    binding: str | None = None,
    captured: Captured | None = None,
    progress: Progress = lambda step: None,
) -> Connection:
    """Turn a response into a stored connection; see `Connector.complete`.

    `captured` is set if the response was captured in the same call that made the request. Nothing was sent to
    the provider if this raises an `AuthorizationResponseError` other than `CodeRefusedError`.
    """
    try:
        response, request = read_response(
            resources, redirect_url, practice_id=practice_id, binding=binding, captured=captured
        )
    except AnsweredBeforeError as exc:
        return _made_by_first_call(resources, exc.request, exc.code)
    except ConnectorError as exc:
        _record(resources, exc.kind, practice_id)
        raise
    practice_id = request.practice_id
    if captured is not None:  # only now: the response may have been an error
        progress("consent")
    progress("code")
    store = resources.store
    store.check()
    refuse_while_revoking(store.connection(practice_id))
    _check_age(resources, request, captured)
    if not store.requests.take(request.state):
        return _made_by_first_call(resources, request, response.code)
    if not store.requests.spend_code(response.code):
        store.requests.give_back(request.state)
        raise _spent()
    try:
        tokens = _exchange(resources, response, request)
    except ConnectorError as exc:
        if isinstance(exc, ProviderUnavailableError | ConfigurationError) and not getattr(exc, "sent", True):
            # The code was not sent, so it can still be used for another attempt.
            store.requests.give_back_code(response.code)
            store.requests.give_back(request.state)
        _record(resources, exc.kind, practice_id)
        raise
    # Only after a valid code: the person who began a request knows its state, and could have made up an
    # address with it.
    by_own_browser = captured is not None and captured.by_own_browser
    returned = response.state is not None
    store.requests.note_state(request.provider, returned=returned, by_own_browser=by_own_browser)
    policy = AccountPolicy(
        expected_account=request.expected_account,
        allow_account_change=request.allow_account_change,
        to_confirm=not returned and not by_own_browser,
        binding=request.binding,
        subject=None if request.nonce is None else subject(tokens),
    )
    keep_unverified(resources, practice_id, tokens, policy)
    progress("tokens")
    connection = verify_account(resources, practice_id)
    progress("account")
    return connection


def _exchange(
    resources: Resources, response: AuthorizationResponse, request: AuthorizationRequest
) -> TokenSet:
    tokens = resources.endpoint.exchange(
        response.code, redirect_uri=request.redirect_uri, code_verifier=request.code_verifier
    )
    try:
        check_id_token(
            tokens,
            request,
            resources.provider,
            client_id=resources.client.client_id,
            now=resources.clock.utc_now(),
            leeway=resources.config.clock_leeway,
        )
    except (StateMismatchError, SettingError):
        revoke_fresh(resources, tokens.refresh_token, tokens.access_token)
        raise
    # RFC 6749 §5.1: the scope may be left out if it is the requested one.
    return tokens if tokens.scope is not None else replace(tokens, scope=request.scope)


def _check_age(resources: Resources, request: AuthorizationRequest, captured: Captured | None) -> None:
    now = resources.clock.utc_now()
    lifetime = _CODE_LIFETIMES.get(resources.provider.code_format, _OTHER_CODE_LIFETIME)
    if captured is None:
        if now >= request.expires_at:
            raise _too_late("the request is more than ten minutes old", request.practice_id)
    elif now >= captured.at + lifetime:
        raise _too_late("the code is too old", request.practice_id)


def _too_late(what: str, practice_id: str) -> RequestExpiredError:
    return RequestExpiredError(
        f"{what}; nothing was sent to the provider",
        hint="Begin again.",
        practice_id=practice_id,
    )


def _spent() -> CodeSpentError:
    return CodeSpentError(
        "this code was used before; it works only once",
        hint="If the practice is not connected (see its status), begin again and use the new address.",
    )


def _made_by_first_call(resources: Resources, request: AuthorizationRequest, code: str) -> Connection:
    """Return the connection that an earlier call made from the same response, once it exists.

    A person who presses twice sends the response twice, and the first call may still be running.
    """
    soon = resources.clock.deadline(_SPENT_SECONDS)
    while not resources.store.requests.is_spent(code):
        if not soon.pause(0.1):
            raise no_such_request(request.practice_id)  # the request was answered with another response
    deadline, grants = resources.clock.deadline(_FIRST_CALL_SECONDS), resources.store.grants
    while True:
        rows = grants.rows(request.practice_id)
        if rows.unverified is not None and rows.unverified.confirm_by is not None:
            grants.policy(rows.unverified)
            raise unconfirmed(rows.unverified)
        connection = None if rows.live is None else rows.live.connection
        connected_at = None if connection is None else connection.connected_at
        if connection is not None and connected_at is not None and connected_at >= request.created_at:
            return connection
        failed = _has_failed(resources, request)
        if failed or not deadline.pause(0.25):
            raise _spent()


def _has_failed(resources: Resources, request: AuthorizationRequest) -> bool:
    events = resources.store.audit.events(practice_id=request.practice_id, limit=20, last=True)
    return any(
        event.kind == "complete" and event.outcome != "ok" and event.at >= request.created_at
        for event in events
    )


def _record(resources: Resources, outcome: str, practice_id: str | None) -> None:
    audit = resources.store.audit
    audit.append(audit.event("complete", outcome, practice_id))
