"""The one door: a connector holds connections and takes each through its life."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from connector.clock import Clock
from connector.config import Config
from connector.connection import AccessToken, AccountPolicy, Connection, Event
from connector.resources import Resources
from connector.upkeep import Upkeep

if TYPE_CHECKING:
    import requests

    from connector.consent import Capture, Progress
    from connector.oauth.authorization_request import AuthorizationRequest
    from connector.refresh.bulk import Done, Pace, Summary
    from connector.store.store import Summary as StoreSummary

__all__ = ["Connector"]


class Connector(Upkeep):
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
        """Make a connector; no file, network or browser is touched before its first call.

        Args:
            config: the settings.
            clock: the time, for tests.
            actor: who acts, for the audit record; by default the user and the machine.
            proactive: refresh tokens in the background when their end is near; a program that runs once need
                not.
        """
        return cls(Resources(config, clock=clock, actor=actor), proactive=proactive)

    def begin(
        self,
        practice_id: str,
        *,
        binding: str | None = None,
        expected_account: str | None = None,
        allow_account_change: bool = False,
    ) -> AuthorizationRequest:
        """Begin to connect a practice: send the browser to the request's `url` within ten minutes.

        Args:
            practice_id: your own id of the practice.
            binding: a secret of the session that begins, such as its id; `complete` must be given the same,
                so that nobody can slip another person's answer into it (RFC 9700 §4.7).
            expected_account: e-mail address of the Communicate account that has to give access.
            allow_account_change: accept another account than before, or one of another practice.

        Raises:
            connector.errors.ConfigurationError: settings are missing or wrong.
            connector.errors.StoreError: the answer could not be stored.
            connector.errors.ProviderUnavailableError: the provider does not answer.
        """
        from connector import consent

        policy = AccountPolicy(expected_account=expected_account, allow_account_change=allow_account_change)
        return consent.begin(self._resources, practice_id, binding=binding, policy=policy)

    def complete(self, redirect_url: str, *, practice_id: str, binding: str | None = None) -> Connection:
        """Complete what `begin` began, in this process or another.

        Args:
            redirect_url: the address the browser ended on, or whatever was pasted of it.
            practice_id: the practice that `begin` was for.
            binding: what `begin` was given.

        Raises:
            connector.errors.AuthorizationResponseError: the answer cannot be used.
            connector.errors.ConsentDeniedError: the practice said no.
            connector.errors.AccountMismatchError: access was given by another account.
            connector.errors.AccountUnconfirmedError: the answer had no state, so anybody can have sent it:
                show a person its `account`, and call `confirm_account` or `reject_account`.
            connector.errors.ProviderUnavailableError: the provider failed; granted tokens are kept.
        """
        from connector import consent

        return consent.complete(self._resources, redirect_url, practice_id=practice_id, binding=binding)

    def confirm_account(self, practice_id: str, *, account_id: str, binding: str | None = None) -> Connection:
        """Make a grant live that `complete` raised an `AccountUnconfirmedError` for.

        Args:
            practice_id: the practice that `begin` was for.
            account_id: id of the account that a person was shown, and has confirmed.
            binding: what `begin` was given.

        Raises:
            connector.errors.AuthorizationResponseError: nothing waits for this session, or not any more.
            connector.errors.AccountMismatchError: another account waits than the one that was shown.
        """
        from connector.consent import confirmation

        return confirmation.confirm_account(
            self._resources, practice_id, account_id=account_id, binding=binding
        )

    def reject_account(self, practice_id: str, *, binding: str | None = None) -> None:
        """Revoke and forget a grant that waits to be confirmed: it is not the right account.

        Args:
            practice_id: the practice that `begin` was for.
            binding: what `begin` was given.

        Raises:
            connector.errors.AuthorizationResponseError: nothing waits for this session.
        """
        from connector.consent import confirmation

        confirmation.reject_account(self._resources, practice_id, binding=binding)

    def open_requests(self, practice_id: str) -> list[AuthorizationRequest]:
        """Return the requests of a practice that wait for an answer and are not too old."""
        return self._resources.store.requests.open_for(practice_id)

    def connect(
        self,
        practice_id: str,
        *,
        capture: Capture | None = None,
        expected_account: str | None = None,
        allow_account_change: bool = False,
        progress: Progress = lambda step: None,
    ) -> Connection:
        """Connect a practice in one go; a practice that is connected already is repaired.

        Args:
            practice_id: your own id of the practice.
            capture: called as `capture(url, redirect_uri=…)`, gives the redirect URL; by default a visible
                browser. `functools.partial(connector.browser.capture_redirect, …)` is one.
            expected_account: e-mail address of the Communicate account that has to give access.
            allow_account_change: accept another account than before, or one of another practice.
            progress: told the name of each step as it is done.

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
        """Return an access token that is valid now, refreshed if need be.

        Args:
            practice_id: whose connection.
            min_ttl: seconds it has to live on, at most half of its life.
            rejected: a token that an API has answered 401 to: it is renewed if it is still the present one,
                once for all who were refused.

        Raises:
            connector.errors.ConnectionNotFoundError: the practice is not connected.
            connector.errors.NeedsRepairError: the grant is dead.
            connector.errors.RevokedError: the connection was revoked.
            connector.errors.ProviderUnavailableError: it ended, and the provider is down; or an API rejects a
                token that was just renewed for that.
        """
        return self._tokens.token(practice_id, min_ttl=min_ttl, rejected=rejected)

    def access_token(self, practice_id: str, *, min_ttl: float = 60, rejected: str | None = None) -> str:
        """Return the value of `token`.

        Raises:
            connector.errors.ConnectorError: as `token` does.
        """
        return self._tokens.access_token(practice_id, min_ttl=min_ttl, rejected=rejected)

    def refresh(self, practice_id: str, *, force: bool = False) -> Connection:
        """Refresh a connection whose access token is near its end.

        Args:
            practice_id: whose connection.
            force: renew a token that is still good as well, without waiting for a backoff.

        Raises:
            connector.errors.ConnectorError: as `token` does.
        """
        return self._tokens.refresh(practice_id, force=force)

    def session(self, practice_id: str) -> requests.Session:
        """Return a `requests.Session` that stays authorized as the practice.

        The token goes to the provider's users, metadata and userinfo origins alone, never across a redirect.
        """
        from connector.communicate.client import AuthorizedSession

        provider = self._resources.provider
        origins = (provider.users_url, provider.userinfo_endpoint, *provider.metadata_urls.values())
        known = [url for url in origins if url is not None]
        return AuthorizedSession(partial(self._token, practice_id), origins=known)

    def refresh_due(
        self,
        *,
        within: float = 900,
        pace: Pace | None = None,
        progress: Callable[[Done], object] = lambda done: None,
    ) -> Summary:
        """Refresh every connection whose access token ends soon; several such runs share the work.

        Args:
            within: seconds.
            pace: how hard to ask the provider.
            progress: told of each connection, in some thread.
        """
        from connector.consent.confirmation import end_overdue
        from connector.refresh.bulk import refresh_due

        end_overdue(self._resources)
        return refresh_due(self._tokens, self._resources.store, within=within, pace=pace, progress=progress)

    def adopt(
        self, practice_id: str, refresh_token: str, *, expected_account: str | None = None
    ) -> Connection:
        """Take over a grant that another program holds; its refresh token is used up by this.

        Args:
            practice_id: your own id of the practice.
            refresh_token: the other program's.
            expected_account: e-mail address of the account it has to belong to.

        Raises:
            connector.errors.GrantRefusedError: the provider refuses the token; nothing is stored.
            connector.errors.AccountMismatchError: it belongs to another account.
            connector.errors.ProviderUnavailableError: not now; the token is kept and tried again.
        """
        from connector.consent.adoption import adopt

        return adopt(
            self._resources,
            practice_id,
            refresh_token,
            policy=AccountPolicy(expected_account=expected_account),
        )

    def status(self, practice_id: str) -> Connection:
        """Return what is known of one connection, without asking the provider.

        Raises:
            connector.errors.ConnectionNotFoundError: if the practice has none.
        """
        return self._resources.store.existing(practice_id)

    def connections(self, *, needs_attention: bool = False) -> Iterator[Connection]:
        """Yield every connection, or only those that somebody has to look after, by practice id."""
        return self._resources.store.connections(needs_attention=needs_attention)

    def events(
        self,
        *,
        after: int = 0,
        practice_id: str | None = None,
        since: datetime | None = None,
        last: bool = False,
        limit: int = 1000,
    ) -> list[Event]:
        """Return what was done, in order, from the record that all processes share.

        Args:
            after: sequence of the last event that is known already.
            practice_id: only this practice's.
            since: only those from this time on.
            last: the last ones rather than the first.
            limit: how many at the most.
        """
        return self._resources.store.audit.events(
            after=after, practice_id=practice_id, since=since, last=last, limit=limit
        )

    def prune_events(self, before: datetime) -> int:
        """Delete the events before a time; return how many. An event remains that says so."""
        return self._resources.store.audit.prune(before, at=self._resources.clock.utc_now())

    def summary(self) -> StoreSummary:
        """Count the connections by state, and tell how late refreshes are; quick at any number."""
        return self._resources.store.summary()

    def upgrade_store(self) -> int:
        """Bring the store's schema up to date, as its first use would; return its version."""
        self._resources.store.database.open()
        return int(self._resources.store.facts()["schema_version"])

    def subscribe(self, subscriber: Callable[[Event], object]) -> Callable[[], None]:
        """Have a function called with every event of this process, right after it is stored.

        Returns:
            A function that ends it. Events of other processes are read with `events`.
        """
        return self._resources.store.audit.subscribe(subscriber)

    def rotate_keys(self, *, progress: Callable[[int], object] = lambda done: None) -> int:
        """Seal everything in the store with a new key, while others go on; return how many values.

        Raises:
            connector.errors.SealingKeyError: a key is missing; nothing was changed.
        """
        return self._resources.store.rotate_keys(progress=progress)

    def close(self) -> None:
        """Close what was opened; a refresh in the background goes on, and its tokens are stored.

        The connector gives no tokens any more.
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
