"""What both sides of a lab connection work with: the right account, the right lab, memory and patience."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from connector.communicate.lab_report import NONE, LabReport
from connector.communicate.users_api import UserAndPartners, UsersApi
from connector.connection import Account, Event, LabConnection
from connector.errors import (
    AccountMismatchError,
    LabConnectionNotFoundError,
    ProviderUnavailableError,
    SettingError,
    StillWaitingError,
    StoreLockedError,
)
from connector.resources import Resources

__all__ = ["LAB_PREFIX", "LabAccess", "Waiting"]

LAB_PREFIX = "lab:"

Waiting = Callable[[LabReport], object]

_LOG = logging.getLogger("connector")
_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 300.0
_GROWTH = 1.5
_LOCK_TIMEOUT = 60.0


class LabAccess:
    """Access to the users API in the name of practices and of Ormco's labs.

    Args:
        resources: what to work with.
        token: called as `token(practice_id, refreshed)`, returns an access token, refreshed first if asked.
    """

    def __init__(self, resources: Resources, token: Callable[[str, bool], str]) -> None:
        self._resources = resources
        self._token = token
        self._labs = resources.config.labs

    def _api(self, practice_id: str) -> UsersApi:
        connection, provider = self._resources.store.existing(practice_id), self._resources.provider
        if connection.provider != provider.name:
            # The token of one provider is nothing for the hosts of another.
            raise SettingError(
                f"{practice_id} is connected at {connection.provider}, not at {provider.name}",
                hint=f"Use --provider {connection.provider}.",
            )
        if provider.users_url is None:
            raise SettingError(
                f"{provider.name} has no users API, so lab connections cannot be reached",
                hint="Set users_url in the provider file, or make the lab connection in the portal.",
            )
        return UsersApi(provider, partial(self._token, practice_id), clock=self._resources.clock)

    def _lab_api(self, lab_id: str) -> UsersApi:
        self._email_of(lab_id)
        return self._api(lab_id)

    def _region(self, account: Account, named: str | None) -> str:
        region = named or account.region
        if region is None or region not in self._labs:
            what = f"in {region}" if region else "in a region that is not told"
            raise SettingError(
                f"the account {account} is {what}, so it cannot be told which of Ormco's labs is its own",
                hint=f"Say it, by the practice's location: --region {'|'.join(sorted(self._labs))}",
            )
        return region

    def _lab_account(self, api: UsersApi, lab_id: str) -> UserAndPartners:
        """Read a lab's account; make sure that it is the one of its region."""
        me, email = api.me(), self._email_of(lab_id)
        if (me.account.email or "").casefold() != email.casefold():
            raise AccountMismatchError(
                f"{lab_id} is connected to {me.account}, not to {email}",
                hint=f"Connect the lab's: ormco forget {lab_id}, "
                f"then ormco connect {lab_id} --expect-account {email}",
            )
        return me

    def _email_of(self, lab_id: str) -> str:
        region = lab_id.removeprefix(LAB_PREFIX)
        if not lab_id.startswith(LAB_PREFIX) or region not in self._labs:
            raise SettingError(
                f"{lab_id} is none of Ormco's labs",
                hint=f"They are {', '.join(LAB_PREFIX + name for name in sorted(self._labs))}.",
            )
        return self._labs[region]

    def _remember(self, practice_id: str, lab: LabConnection, step: str = "none") -> None:
        """Store how a practice's lab connection stands, if that is news."""
        store, clock = self._resources.store, self._resources.clock
        if step == "none" and self._resources.store.existing(practice_id).lab == lab:
            return
        with store.lock(practice_id, deadline=clock.deadline(_LOCK_TIMEOUT)):
            grant = store.get(practice_id)
            if grant is None:  # forgotten meanwhile
                return
            connection = replace(grant.connection, lab=lab)
            event = Event(
                at=clock.utc_now(),
                kind="lab",
                outcome=lab.state,
                practice_id=practice_id,
                state=connection.state,
                detail={"step": step, "email": lab.email or ""},
            )
            store.put(
                replace(grant, connection=connection),
                expected_generation=connection.token_generation,
                events=[event],
            )

    def _wait(
        self, report: LabReport, seconds: float, waiting: Waiting, look: Callable[[], LabReport]
    ) -> LabReport:
        """Look again and again, ever more seldom, until the lab connection is active.

        Args:
            report: how it stands now.
            seconds: how long; 0 not to wait.
            waiting: told what is waited for.
            look: looks, and raises where there is nothing to wait for.

        Raises:
            connector.errors.StillWaitingError: if it is not active in the end.
        """
        if seconds <= 0 or report.is_active:
            return report
        waiting(report)
        deadline, pause = self._resources.clock.deadline(seconds), _FIRST_PAUSE
        while not deadline.passed:
            # Jitter, so that practices that were connected together do not ask together.
            deadline.pause(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
            try:
                report = look()
            except (ProviderUnavailableError, StoreLockedError) as exc:
                # A day's wait outlives an outage.
                _LOG.warning("%s; the wait for %s goes on", exc.message, report.lab.email)
                pause = max(pause, getattr(exc, "retry_after", None) or 0.0)
            if report.is_active:
                return report
        raise _still_waiting(report)

    @staticmethod
    def _require_hope(report: LabReport) -> LabReport:
        """Refuse to wait for what nobody has asked for."""
        if report.lab.state == NONE:
            raise LabConnectionNotFoundError(
                report.found, hint=f"Ask for it: ormco lab request {report.practice_id}"
            )
        return report


def _still_waiting(report: LabReport) -> StillWaitingError:
    command = "approve" if report.lab.state == NONE else "status"
    return StillWaitingError(
        f"{report.found}; the wait has ended",
        hint=f"Wait on, it can take 24 hours: ormco lab {command} {report.practice_id} --wait 86400",
    )
