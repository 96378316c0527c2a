"""The part of a connector that finds out what is wrong, mends it, and takes access back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

from connector.connection import AccountPolicy, Connection, Event
from connector.resources import Resources

if TYPE_CHECKING:
    from connector.communicate.cases import Cases
    from connector.communicate.lab import OrmcoLab
    from connector.consent import Capture, Progress
    from connector.doctor.check import Check
    from connector.refresh import AccessTokens
    from connector.repair import LastResort, Repair
    from connector.revocation import Revocation
    from connector.revocation.removal import Consequences, Removal

__all__ = ["Upkeep"]


class Upkeep:
    """Repair, revoke, reconnect, forget, and the doctor."""

    def __init__(self, resources: Resources, *, proactive: bool = True) -> None:
        self._resources = resources
        self._proactive = proactive

    def repair(
        self,
        practice_id: str,
        *,
        capture: Capture | None = None,
        expected_account: str | None = None,
        allow_account_change: bool = False,
        last_resort: LastResort | None = None,
        progress: Progress = lambda step: None,
    ) -> Repair:
        """Find out what is wrong with a connection and take the least step that mends it.

        Args:
            practice_id: whose connection; a practice without one is connected.
            capture: called as `capture(url, redirect_uri=…)`, gives the redirect URL; by default a visible
                browser.
            expected_account: e-mail address of the Communicate account that has to give access.
            allow_account_change: accept another account than before, or one of another practice.
            last_resort: how to remove Ormco and start anew where consent alone does not help; None: never.
            progress: told the name of each step as it is done, and "found: …".

        Returns:
            What was found, which step was taken, and the connection as it is now.

        Raises:
            connector.errors.RevokedError: the connection is being revoked.
            connector.errors.ConnectorError: as `begin` and `complete` do.
        """
        from connector import consent
        from connector.repair import repair

        policy = AccountPolicy(expected_account=expected_account, allow_account_change=allow_account_change)
        options = consent.ConsentOptions(capture=capture or self._capture, policy=policy, progress=progress)
        return repair(self._resources, self._tokens, practice_id, options=options, last_resort=last_resort)

    def consequences(self, practice_id: str) -> Consequences | None:
        """Return what `revoke` will cut off, to be shown before; None where nothing is left to cut off.

        Raises:
            connector.errors.ConnectionNotFoundError: if nothing is stored of the practice.
        """
        from connector.revocation.removal import consequences

        return consequences(self._resources, practice_id)

    def revoke(self, practice_id: str, *, removal: Removal | None = None) -> Revocation:
        """Take Ormco's access back at the provider, prove it, then wipe the tokens.

        What is cut off is not asked about here: show `consequences` to somebody first.

        Args:
            practice_id: whose connection.
            removal: how to remove Ormco where the provider has no revocation endpoint; by default a visible
                browser opens the Applications page.

        Raises:
            connector.errors.ConnectionNotFoundError: if nothing is stored of the practice.
            connector.errors.GrantStillHonouredError: the proof failed; the tokens are kept.
            connector.errors.ProviderUnavailableError: no proof can be had now; the tokens are kept.
        """
        from connector.revocation import revoke

        return revoke(self._resources, practice_id, removal or self._removal())

    def reconnect(
        self,
        practice_id: str,
        *,
        capture: Capture | None = None,
        removal: Removal | None = None,
        allow_account_change: bool = False,
        progress: Progress = lambda step: None,
    ) -> Connection:
        """Revoke a connection and connect it from the start; one that stopped in the middle goes on.

        Args:
            practice_id: whose connection.
            capture: as for `repair`.
            removal: as for `revoke`.
            allow_account_change: accept another account than before, or one of another practice.
            progress: told the name of each step of the consent as it is done.

        Raises:
            connector.errors.ConnectorError: as `revoke` and `repair` do.
        """
        from connector import consent
        from connector.repair import reconnect

        policy = AccountPolicy(allow_account_change=allow_account_change)
        options = consent.ConsentOptions(capture=capture or self._capture, policy=policy, progress=progress)
        return reconnect(self._resources, practice_id, options=options, removal=removal or self._removal())

    def forget(self, practice_id: str) -> None:
        """Delete all that is stored of a practice, without asking the provider to revoke anything.

        Raises:
            connector.errors.ConnectionNotFoundError: if nothing is stored.
        """
        self._resources.store.existing(practice_id)
        now = self._resources.clock.utc_now()
        event = Event(at=now, kind="forget", outcome="ok", practice_id=practice_id)
        self._resources.store.forget(practice_id, event)

    def doctor(
        self, practice_id: str | None = None, *, only: Collection[str] | None = None
    ) -> Iterator[Check]:
        """Yield one check after the other: the settings, the store, the provider, the browser, a connection.

        Args:
            practice_id: whose connection to look at as well; None: a glance at all of them.
            only: names of the checks to run, of `connector.doctor.ALL_CHECKS`; None: all but those that start
                a browser or call the token endpoint.
        """
        from connector.doctor import examine

        return examine(self._resources, lambda: self._tokens, practice_id, only=only)

    @cached_property
    def lab(self) -> OrmcoLab:
        """Ormco as a lab in the practices' Communicate accounts: `request`, `status`, `approve`."""
        from connector.communicate.lab import OrmcoLab

        return OrmcoLab(self._resources, self._token)

    @cached_property
    def cases(self) -> Cases:
        """The practices' cases: `list`, `get`, `versions`, `history`, `watch`, `download`."""
        from connector.communicate.cases import Cases

        return Cases(self._resources, self._token)

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
        return self._tokens.access_token(practice_id, rejected=rejected)

    def _capture(self, url: str, *, redirect_uri: str) -> AbstractContextManager[str]:
        from connector.browser import open_capture

        return open_capture(url, redirect_uri=redirect_uri, browser=self._resources.config.browser)

    def _removal(self) -> Removal:
        from functools import partial

        from connector.browser.applications import remove_application
        from connector.revocation.removal import Removal

        return Removal(remove=partial(remove_application, browser=self._resources.config.browser))
