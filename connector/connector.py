"""`Connector`: the public API."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from connector.calls import Scope, checked, each_in_scope, in_scope, operation, require_text
from connector.clock import Clock
from connector.config import Config
from connector.connection import AccessToken, Account, AccountPolicy, Connection, Event
from connector.observers import Call
from connector.resources import Resources

if TYPE_CHECKING:
    import httpx
    import requests

    from connector.communicate.cases import Cases
    from connector.communicate.lab import OrmcoLab
    from connector.consent import Capture, Progress
    from connector.doctor.check import Check
    from connector.oauth.authorization_request import AuthorizationRequest
    from connector.refresh import AccessTokens
    from connector.refresh.rate_limit import Pace
    from connector.refresh.tally import Done, RefreshSummary
    from connector.repair import Diagnosis, LastResort, Repair
    from connector.revocation import Revocation
    from connector.revocation.removal import Removal, RevocationSteps
    from connector.store.overview import StoreSummary

__all__ = ["Connector"]


class Connector:
    """Connects practices to Ormco through 3Shape Communicate, and keeps them connected.

    Thread-safe, and usable from many processes and machines on one store. Opens nothing before it is needed.
    """

    @classmethod
    def from_config(
        cls,
        config: Config,
        *,
        clock: Clock | None = None,
        actor: str | None = None,
        proactive: bool = True,
    ) -> Self:
        """Create a connector; no file, network or browser is used before its first call.

        Args:
            config: the settings.
            clock: the clock to use, for tests.
            actor: the actor for the audit record; by default the user and the machine.
            proactive: whether to refresh tokens in the background before they expire; a program that runs
                once does not need this.

        Example:
            >>> with Connector.from_config(Config.from_env(os.environ)) as connector:
            ...     unwell = [known.practice_id for known in connector.connections(needs_attention=True)]
        """
        return cls(Resources(config, clock=clock, actor=actor), proactive=proactive)

    def __init__(self, resources: Resources, *, proactive: bool = True) -> None:
        self._resources = resources
        self._proactive = proactive
        self._actor = ""

    def prepare(self) -> None:
        """Load the modules that the first calls need; no file is opened, and nothing is contacted.

        Useful before the workers of a server are forked. `async with AsyncConnector…` does it in a thread.

        Raises:
            connector.errors.ConfigurationError: the store's setting is wrong, or its driver is not installed.
        """
        importlib.import_module("connector.authorized_session")
        _ = self._tokens

    @operation("begin")
    def begin(
        self,
        practice_id: str,
        *,
        binding: str | None = None,
        redirect_uri: str | None = None,
        expected_account: str | None = None,
        allow_account_change: bool = False,
    ) -> AuthorizationRequest:
        """Create an authorization request; send the browser to its `url` within ten minutes.

        Args:
            practice_id: your own id of the practice.
            binding: a secret of the session that begins, such as its id; `complete` must be given the same,
                so that an attacker cannot inject another response (RFC 9700 §4.7).
            redirect_uri: a registered redirect URI other than the configured one.
            expected_account: e-mail address of the Communicate account that has to give access.
            allow_account_change: accept an account other than the last one, or one of another practice.

        Example:
            >>> request = connector.begin("practice-42", binding=session_id)
            >>> redirect_url = answer_of(request.url)  # the browser goes there and comes back

        Raises:
            connector.errors.ConfigurationError: settings are missing or wrong.
            connector.errors.StoreError: the request could not be stored.
            connector.errors.ProviderUnavailableError: the provider does not respond.
        """
        from connector import consent

        policy = AccountPolicy(expected_account=expected_account, allow_account_change=allow_account_change)
        return consent.begin(
            self._resources, practice_id, binding=binding, redirect_uri=redirect_uri, policy=policy
        )

    @operation("complete")
    def complete(
        self, redirect_url: str, *, practice_id: str | None = None, binding: str | None = None
    ) -> Connection:
        """Turn the response to a request of `begin` into a connection, in this process or another.

        Called twice with the same response by the same session, it returns the connection that the first
        call made.

        Example:
            >>> connection = connector.complete(redirect_url, binding=session_id)
            >>> connection.practice_id, connection.state.value
            ('practice-42', 'connected')

        Args:
            redirect_url: the address at which the browser ended, or a pasted part of it.
            practice_id: the practice that `begin` was for; None: it is found by the response's `state`.
            binding: the same value that `begin` was given.

        Raises:
            connector.errors.AuthorizationResponseError: the response cannot be used.
            connector.errors.ConsentDeniedError: the practice refused access.
            connector.errors.AccountMismatchError: access was given by another account.
            connector.errors.AccountUnconfirmedError: the response had no state, so anyone could have sent it:
                show a person its `account`, and call `confirm_account` or `reject_account`.
            connector.errors.ProviderUnavailableError: the provider failed; granted tokens are kept.
        """
        from connector import consent

        return consent.complete(self._resources, redirect_url, practice_id=practice_id, binding=binding)

    @checked
    def unconfirmed_account(self, practice_id: str) -> Account | None:
        """Return the account of a new grant that a person has to confirm, or None if there is none."""
        grants = self._resources.store.grants
        row = grants.rows(practice_id).unverified
        if row is None or row.confirm_by is None:
            return None
        grants.policy(row)  # refuses an account that was written into the row by another program
        return row.account

    @operation("confirm_account")
    def confirm_account(self, practice_id: str, *, account_id: str, binding: str | None = None) -> Connection:
        """Activate a grant for which `complete` raised an `AccountUnconfirmedError`.

        Args:
            practice_id: the practice that `begin` was for.
            account_id: id of the account that a person was shown, and has confirmed.
            binding: the same value that `begin` was given.

        Raises:
            connector.errors.AuthorizationResponseError: no grant waits for this session, or no longer.
            connector.errors.AccountMismatchError: the account that waits is not the one that was shown.
        """
        from connector.consent import confirmation

        return confirmation.confirm_account(
            self._resources, practice_id, account_id=account_id, binding=binding
        )

    @operation("reject_account")
    def reject_account(self, practice_id: str, *, binding: str | None = None) -> None:
        """Revoke and forget a grant that waits to be confirmed: it is not the right account.

        Args:
            practice_id: the practice that `begin` was for.
            binding: the same value that `begin` was given.

        Raises:
            connector.errors.AuthorizationResponseError: no grant waits for this session.
        """
        from connector.consent import confirmation

        confirmation.reject_account(self._resources, practice_id, binding=binding)

    @checked
    def open_requests(self, practice_id: str) -> list[AuthorizationRequest]:
        """Return the authorization requests of a practice that are unanswered and not too old."""
        return self._resources.store.requests.open_for(practice_id)

    @operation("connect")
    def connect(
        self,
        practice_id: str,
        *,
        capture: Capture | None = None,
        expected_account: str | None = None,
        allow_account_change: bool = False,
        progress: Progress = lambda step: None,
    ) -> Connection:
        """Connect a practice in one call; a practice that is already connected is repaired.

        Args:
            practice_id: your own id of the practice.
            capture: called as `capture(url, redirect_uri=…)`, returns the redirect URL; by default a visible
                browser. `functools.partial(connector.browser.capture_redirect, …)` is one.
            expected_account: e-mail address of the Communicate account that has to give access.
            allow_account_change: accept an account other than the last one, or one of another practice.
            progress: called with the name of each step as it is done.

        Raises:
            connector.errors.ConnectorError: as `begin` and `complete` do.
        """
        return self.repair(
            practice_id,
            capture=capture,
            expected_account=expected_account,
            allow_account_change=allow_account_change,
            progress=progress,
        ).connection

    def token(self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None) -> AccessToken:
        """Return an access token that is valid now, refreshed if necessary.

        Args:
            practice_id: the practice.
            min_ttl: seconds for which it must still be valid, at most half of its lifetime.
            rejected: a token that an API rejected with 401: it is refreshed if it is still the current one,
                once for all callers.

        Raises:
            connector.errors.ConnectionNotFoundError: the practice is not connected.
            connector.errors.NeedsRepairError: the grant is dead.
            connector.errors.RevokedError: the connection was revoked.
            connector.errors.ProviderUnavailableError: the token has expired and the provider is down; or an
                API rejects a token that was just refreshed for that reason.
        """
        if rejected is None and (cached := self._tokens.memory.valid(practice_id, min_ttl)) is not None:
            return cached.token
        try:
            require_text("practice_id", practice_id)
            with in_scope(self.scope("token", practice_id)):
                return self._tokens.token(practice_id, min_ttl=min_ttl, rejected=rejected)
        finally:
            del rejected  # reporters collect local variables

    def access_token(self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None) -> str:
        """Return the value of an access token that is valid now, as a str; arguments are those of `token`.

        Example:
            >>> headers = {"Authorization": f"Bearer {connector.access_token('practice-42')}"}

        Raises:
            connector.errors.ConnectorError: as `token` does.
        """
        if rejected is None and (cached := self._tokens.memory.valid(practice_id, min_ttl)) is not None:
            return cached.value
        try:
            return self.token(practice_id, min_ttl=min_ttl, rejected=rejected).value
        finally:
            del rejected  # reporters collect local variables

    def cached_token(self, practice_id: str, *, min_ttl: float = 60) -> AccessToken | None:
        """Return, without waiting, the token in memory that is valid for `min_ttl` seconds, or None."""
        cached = self._tokens.memory.valid(practice_id, min_ttl)
        return None if cached is None else cached.token

    @operation("refresh")
    def refresh(self, practice_id: str, *, force: bool = False) -> Connection:
        """Refresh a connection if its access token expires soon.

        Args:
            practice_id: the practice.
            force: whether to refresh even a valid token, and without waiting for a backoff.

        Raises:
            connector.errors.ConnectorError: as `token` does.
        """
        return self._tokens.refresh(practice_id, force=force)

    @checked
    def session(self, practice_id: str) -> requests.Session:
        """Return a `requests.Session` that stays authorized as the practice.

        The token is sent only to the provider's users, metadata and userinfo origins, never after a redirect.

        Example:
            >>> http = connector.session("practice-42")
            >>> http.get(f"{users_url}/api/users/me").status_code
            200
        """
        from connector.authorized_session import AuthorizedSession

        return AuthorizedSession(
            partial(self._token, practice_id),
            origins=self.token_origins(),
            scope=self.scope("session", practice_id),
        )

    @checked
    def httpx_auth(self, practice_id: str) -> httpx.Auth:
        """Return an `auth` for `httpx.Client` that stays authorized as the practice; needs the extra `httpx`.

        The token goes to the same origins as with `session`. For `httpx.AsyncClient`, use
        `AsyncConnector.httpx_auth`.
        """
        from connector.httpx_auth import PracticeAuth

        return PracticeAuth(
            partial(self._token, practice_id),
            origins=self.token_origins(),
            scope=self.scope("httpx_auth", practice_id),
        )

    @operation("refresh_due")
    def refresh_due(
        self,
        *,
        within: float = 900,
        pace: Pace | None = None,
        progress: Callable[[Done], object] = lambda done: None,
    ) -> RefreshSummary:
        """Refresh every connection whose access token expires soon; concurrent runs share the work.

        Args:
            within: seconds until the access token expires.
            pace: the maximum number of token calls at a time, and per second.
            progress: called with each connection that is done, in any thread.

        Raises:
            connector.errors.StoreError: the store failed; a failed refresh is only counted.
        """
        from connector.consent.confirmation import end_all_overdue
        from connector.refresh.bulk import refresh_due

        end_all_overdue(self._resources)
        store = self._resources.store
        summary = refresh_due(self._tokens, store, within=within, pace=pace, progress=progress)
        store.database.scrub()  # finish the deletion that a killed process began
        return summary

    @operation("adopt")
    def adopt(
        self, practice_id: str, refresh_token: str, *, expected_account: str | None = None
    ) -> Connection:
        """Take over a grant that another program holds; this uses up its refresh token.

        Args:
            practice_id: your own id of the practice.
            refresh_token: the other program's refresh token.
            expected_account: e-mail address of the account it has to belong to.

        Raises:
            connector.errors.GrantRefusedError: the provider refuses the token; nothing is stored.
            connector.errors.AccountMismatchError: it belongs to another account.
            connector.errors.ProviderUnavailableError: the provider does not respond; the token is kept and
                tried again.
        """
        from connector.consent.account import adopt

        return adopt(
            self._resources,
            practice_id,
            refresh_token,
            policy=AccountPolicy(expected_account=expected_account),
        )

    @checked
    def status(self, practice_id: str) -> Connection:
        """Return a practice's connection as stored, without a request to the provider.

        Raises:
            connector.errors.ConnectionNotFoundError: if the practice has none.
        """
        return self._resources.store.existing(practice_id)

    def connections(self, *, needs_attention: bool = False) -> Iterator[Connection]:
        """Yield every connection, or only those that need attention, ordered by practice id."""
        return self._resources.store.overview.connections(needs_attention=needs_attention)

    @checked
    def search(self, text: str = "", *, limit: int = 100) -> list[Connection]:
        """Return connections whose id, account or name contains a text, those that need attention first.

        Args:
            text: the text to find, in upper or lower case; "" for all.
            limit: the maximum number to return.
        """
        return self._resources.store.overview.search(text, limit=limit)

    def summary(self) -> StoreSummary:
        """Count the connections by state, and measure how late refreshes are, for a monitor."""
        return self._resources.store.overview.summary()

    def ping(self) -> None:
        """Check that the store responds and that its key opens it; nothing else is contacted.

        Raises:
            connector.errors.StoreError: the store does not respond, or its key does not open it.
        """
        self._resources.store.ping()

    @checked
    def acting_as(self, actor: str) -> Self:
        """Return the same connector with another actor in the audit record, such as a web user.

        Args:
            actor: the name to show in the audit record.
        """
        self.prepare()  # the tokens are shared by both
        acting = copy.copy(self)
        acting._actor = actor
        for name in ("lab", "cases"):
            vars(acting).pop(name, None)
        return acting

    def on_call(self, callback: Callable[[Call], object]) -> Callable[[], None]:
        """Call a function after every HTTP request that this connector makes or authorizes.

        Args:
            callback: called with each `Call`, in the thread that made it; an error that it raises is logged.

        Returns:
            A function that ends this.

        Example:
            >>> stop = connector.on_call(lambda call: print(call.operation, call.outcome, call.status))
            >>> connector.refresh("practice-42", force=True).token_generation
            refresh answered 200
            2
            >>> stop()
        """
        return self._resources.calls.add(callback)

    @checked
    def events(
        self,
        *,
        after: int = 0,
        practice_id: str | None = None,
        limit: int = 1000,
        last: bool = False,
        since: datetime | None = None,
    ) -> list[Event]:
        """Return events in order from the audit record that all processes share.

        Args:
            after: the sequence number of the last event that you have read.
            practice_id: only the events of this practice.
            since: only the events from this time on.
            last: return the last events instead of the first ones.
            limit: the maximum number to return.

        Example:
            >>> [(event.kind, event.outcome) for event in connector.events(practice_id="practice-42")]
            [('begin', 'ok'), ('complete', 'ok')]
        """
        return self._resources.store.audit.events(
            after=after, practice_id=practice_id, limit=limit, last=last, since=since
        )

    @operation("prune_events")
    def prune_events(self, before: datetime) -> int:
        """Delete the events before a time; return their number. An event records the deletion."""
        return self._resources.store.audit.prune(before)

    def upgrade_store(self) -> int:
        """Bring the store's schema up to date, as its first use would; return its version."""
        self._resources.store.database.open()
        return int(self._resources.store.facts()["schema_version"])

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Call a function with every event of this process, right after it is stored.

        Returns:
            A function that ends this. Use `events` to read the events of other processes.
        """
        return self._resources.store.audit.subscribe(subscriber)

    @operation("repair")
    def repair(
        self,
        practice_id: str,
        *,
        interactive: bool = True,
        capture: Capture | None = None,
        expected_account: str | None = None,
        allow_account_change: bool = False,
        last_resort: LastResort | None = None,
        progress: Progress = lambda step: None,
    ) -> Repair:
        """Diagnose a connection and take the smallest step that repairs it.

        Args:
            practice_id: the practice; one without a connection is connected.
            interactive: open a browser if a person is needed; False, for a server: raise
                `ConsentRequiredError` then.
            capture: called as `capture(url, redirect_uri=…)`, returns the redirect URL; by default a visible
                browser.
            expected_account: e-mail address of the Communicate account that has to give access.
            allow_account_change: accept an account other than the last one, or one of another practice.
            last_resort: how to remove Ormco and start again if consent alone does not help; None: never.
            progress: called with the name of each step as it is done, and "found: …".

        Example:
            >>> connector.repair("practice-42", interactive=False).found
            'nothing is wrong'

        Returns:
            The diagnosis, the step that was taken, and the connection as it is now.

        Raises:
            connector.errors.RevokedError: the connection is being revoked.
            connector.errors.ConsentRequiredError: a person has to give access again, and `interactive` is
                False: send them through `begin`.
            connector.errors.ConnectorError: as `begin` and `complete` do.
        """
        from connector import consent
        from connector.repair import repair

        policy = AccountPolicy(expected_account=expected_account, allow_account_change=allow_account_change)
        options = consent.ConsentOptions(capture=capture or self._capture, policy=policy, progress=progress)
        return repair(
            self._resources,
            self._tokens,
            practice_id,
            options=options if interactive else None,
            last_resort=last_resort if interactive else None,
        )

    @operation("diagnose")
    def diagnose(self, practice_id: str) -> Diagnosis:
        """Diagnose a connection and the remedy that it needs, without changing anything.

        Raises:
            connector.errors.StoreError: the store fails.
        """
        from connector.repair import diagnose

        return diagnose(self._resources, practice_id)

    @checked
    def revocation_steps(self, practice_id: str) -> RevocationSteps | None:
        """Return the consequences of `revoke` and a person's steps; None if nothing is left to revoke.

        Raises:
            connector.errors.ConnectionNotFoundError: if nothing is stored for the practice.
        """
        from connector.revocation.removal import revocation_steps

        return revocation_steps(self._resources, practice_id)

    @operation("confirm_revoked")
    def confirm_revoked(self, practice_id: str) -> Revocation:
        """Prove that a person has removed Ormco, then wipe the tokens.

        Raises:
            connector.errors.GrantStillHonouredError: the proof failed; the tokens are kept.
            connector.errors.ProviderUnavailableError: the proof was not possible yet; the tokens are kept.
        """
        from connector.revocation import revoke
        from connector.revocation.removal import Removal

        return revoke(self._resources, practice_id, Removal(method="by_hand", done=True))

    @operation("revoke")
    def revoke(
        self, practice_id: str, *, interactive: bool = True, removal: Removal | None = None
    ) -> Revocation:
        """Remove Ormco's access at the provider, prove the removal, then wipe the tokens.

        This does not ask for confirmation: show `revocation_steps` to a person first.

        Args:
            practice_id: the practice.
            interactive: open a browser if the provider has no revocation endpoint; False, for a server: raise
                `ConsentRequiredError` then.
            removal: how to remove Ormco if the provider has no revocation endpoint; by default a visible
                browser opens the Applications page.

        Example:
            >>> revocation = connector.revoke("practice-42", interactive=False)
            >>> revocation.proved, revocation.wiped
            (True, True)

        Raises:
            connector.errors.ConnectionNotFoundError: if nothing is stored for the practice.
            connector.errors.ConsentRequiredError: a person has to remove Ormco, and `interactive` is False:
                show them `revocation_steps`, then call `confirm_revoked`.
            connector.errors.GrantStillHonouredError: the proof failed; the tokens are kept.
            connector.errors.ProviderUnavailableError: the proof was not possible yet; the tokens are kept.
        """
        from connector.revocation import revoke

        return revoke(self._resources, practice_id, removal or self._removal(interactive=interactive))

    @operation("reconnect")
    def reconnect(
        self,
        practice_id: str,
        *,
        capture: Capture | None = None,
        removal: Removal | None = None,
        allow_account_change: bool = False,
        progress: Progress = lambda step: None,
    ) -> Connection:
        """Revoke a connection and connect it from the start; an interrupted call can be repeated.

        Args:
            practice_id: the practice.
            capture: as for `repair`.
            removal: as for `revoke`.
            allow_account_change: accept an account other than the last one, or one of another practice.
            progress: called with the name of each step of the consent as it is done.

        Raises:
            connector.errors.ConnectorError: as `revoke` and `repair` do.
        """
        from connector import consent
        from connector.repair import reconnect

        policy = AccountPolicy(allow_account_change=allow_account_change)
        options = consent.ConsentOptions(capture=capture or self._capture, policy=policy, progress=progress)
        return reconnect(self._resources, practice_id, options=options, removal=removal or self._removal())

    @operation("forget")
    def forget(self, practice_id: str) -> None:
        """Delete everything that is stored for a practice; nothing is revoked at the provider.

        Raises:
            connector.errors.ConnectionNotFoundError: if nothing is stored.
        """
        store = self._resources.store
        store.existing(practice_id)
        store.forget(practice_id, store.audit.event("forget", "ok", practice_id))

    @checked
    def doctor(
        self, practice_id: str | None = None, *, only: Collection[str] | None = None
    ) -> Iterator[Check]:
        """Yield the results of checks: the settings, the store, the provider, the browser, a connection.

        Args:
            practice_id: also check this practice's connection; None: check all connections briefly.
            only: names of the checks to run, of `connector.doctor.ALL_CHECKS`; None: all but those that start
                a browser or call the token endpoint.
        """
        from connector.doctor import examine

        checks = examine(self._resources, lambda: self._tokens, practice_id, only=only)
        return each_in_scope(self.scope("doctor", practice_id), checks)

    def scope(self, name: str, practice_id: str | None) -> Scope:
        """Return the scope of a library call of this connector, for its observers and the audit record."""
        return Scope(name, practice_id, self._resources.calls, self._actor)

    @operation("rotate_keys")
    def rotate_keys(self, *, progress: Callable[[int], object] = lambda done: None) -> int:
        """Seal everything in the store with a new key, while it is in use; return the number of values.

        `progress` is called with the number of values that are sealed so far.

        Raises:
            connector.errors.SealingKeyError: a key is missing; nothing was changed.
        """
        return self._resources.store.rotate_keys(progress=progress)

    def close(self) -> None:
        """Close the store and the network connections; the connector provides no tokens any more.

        A refresh in the background continues, and its tokens are stored.
        """
        if "cases" in vars(self):
            self.cases.close()
        if "_tokens" in vars(self):
            self._tokens.close(then=self._resources.close)
        else:
            self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @cached_property
    def lab(self) -> OrmcoLab:
        """Ormco as a lab in a practice's account: `request`, `status`, `approve`, `requests`, `accept`."""
        from connector.communicate.lab import OrmcoLab

        return OrmcoLab(self._resources, self._token, scope=self.scope)

    @cached_property
    def cases(self) -> Cases:
        """Cases: `list`, `get`, `show`, `versions`, `history`, `watch`, `reset_watch`, `download`."""
        from connector.communicate.cases import Cases

        return Cases(self._resources, self._token, scope=self.scope)

    @cached_property
    def _tokens(self) -> AccessTokens:
        from connector.refresh import AccessTokens

        resources = self._resources

        def verify(practice_id: str) -> None:
            from connector.consent.account import verify_account

            verify_account(resources, practice_id)

        return AccessTokens(
            resources.store,
            resources.rotator,
            resources.clock,
            verify=verify,
            proactive=self._proactive,
        )

    def _token(self, practice_id: str, rejected: str | None) -> str:
        try:
            return self.access_token(practice_id, rejected=rejected)
        finally:
            del rejected  # reporters collect local variables

    def token_origins(self) -> list[str]:
        """Return the addresses whose origins may see an access token."""
        provider = self._resources.provider
        origins = (provider.users_url, provider.userinfo_endpoint, *provider.metadata_urls.values())
        return [url for url in origins if url is not None]

    def _capture(self, url: str, *, redirect_uri: str) -> AbstractContextManager[str]:
        from connector.browser import open_capture

        return open_capture(url, redirect_uri=redirect_uri, browser=self._resources.config.browser)

    def _removal(self, *, interactive: bool = True) -> Removal:
        from connector.revocation.removal import Removal, ask_nobody

        if not interactive:
            return Removal(remove=ask_nobody)
        from connector.browser.applications import remove_application

        return Removal(remove=partial(remove_application, browser=self._resources.config.browser))
