"""Ormco as a lab in a practice's Communicate account: asked for, accepted, looked at."""

from __future__ import annotations

from dataclasses import replace

from connector.communicate.lab_access import LAB_PREFIX, LabAccess, Waiting
from connector.communicate.lab_report import (
    ACTIVE,
    LabReport,
    best,
    lab_side_report,
    portal_steps,
    practice_side_report,
)
from connector.communicate.users_api import Partner, UsersApi
from connector.connection import Account, Event, LabConnection
from connector.errors import (
    ClientRefusedError,
    LabConnectionNotFoundError,
    SettingError,
)

__all__ = ["LAB_PREFIX", "OrmcoLab"]


class OrmcoLab(LabAccess):
    """Ormco's labs, and the practices' connections with them; see `LabAccess` for its arguments.

    The labs' own side acts through ordinary connections named `lab:americas`, `lab:asia-pacific` and
    `lab:europe`.
    """

    def status(
        self,
        practice_id: str,
        *,
        region: str | None = None,
        wait: float = 0,
        waiting: Waiting = lambda report: None,
    ) -> LabReport:
        """Look at a practice's lab connection.

        Args:
            practice_id: whose.
            region: of the lab; by default the account's own.
            wait: seconds to wait for the lab to accept, which can take 24 hours.
            waiting: told what is waited for, before it is.

        Raises:
            connector.errors.StillWaitingError: the wait ended before the lab accepted.
            connector.errors.LabConnectionNotFoundError: there is nothing to wait for.
            connector.errors.ConnectorError: as `Connector.access_token`; or the API cannot be asked.
        """
        api = self._practice_api(practice_id)
        report = self._look(api, practice_id, region)
        if wait > 0:
            self._require_hope(report)
        return self._wait(
            report, wait, waiting, lambda: self._require_hope(self._look(api, practice_id, region))
        )

    def request(
        self,
        practice_id: str,
        *,
        region: str | None = None,
        wait: float = 0,
        waiting: Waiting = lambda report: None,
    ) -> LabReport:
        """Ask Ormco's lab for a connection, unless that was done; accept it where the lab has asked.

        Arguments and errors are those of `status`. What was asked for stays asked for, however the wait ends.
        """
        api = self._practice_api(practice_id)
        asked = self._ask(api, practice_id, region)
        report = self._wait(
            asked, wait, waiting, lambda: self._require_hope(self._look(api, practice_id, region))
        )
        return replace(report, step=asked.step)

    def approve(
        self, practice_id: str, *, wait: float = 0, waiting: Waiting = lambda report: None
    ) -> LabReport:
        """Accept what a practice has asked Ormco's lab for, as the lab of its region.

        Args:
            practice_id: a practice that is stored here.
            wait: seconds to wait for it to ask.
            waiting: told what is waited for, before it is.

        Raises:
            connector.errors.LabConnectionNotFoundError: it has not asked.
            connector.errors.StillWaitingError: it has not asked within the wait.
            connector.errors.ConnectorError: as `status`.
        """
        account = self._resources.store.existing(practice_id).account
        if account is None:
            raise SettingError(
                f"the Communicate account of {practice_id} is not known",
                hint=f"Have it read: ormco repair {practice_id}",
            )
        api = self._api(LAB_PREFIX + self._region(account, None))
        report = self._accept_from(api, practice_id, account)
        if wait <= 0:
            self._require_hope(report)
        return self._wait(report, wait, waiting, lambda: self._accept_from(api, practice_id, account))

    def requests(self, lab_id: str) -> list[Partner]:
        """Return those that wait for a lab to accept them.

        Args:
            lab_id: `lab:americas`, `lab:asia-pacific` or `lab:europe`.
        """
        me = self._lab_account(self._lab_api(lab_id), lab_id)
        return [partner for partner in me.partners if partner.asked_us and not partner.accepted]

    def accept(self, lab_id: str, partner: Partner) -> None:
        """Accept one of those that `requests` has returned."""
        api, resources = self._lab_api(lab_id), self._resources
        self._approve(api, self._lab_account(api, lab_id).account, partner)
        lab = LabConnection(state=ACTIVE, email=self._email_of(lab_id))
        for practice_id in resources.store.practices_of_account(resources.provider.name, partner.id):
            self._remember(practice_id, lab, "approve")
        resources.store.append_event(
            Event(
                at=resources.clock.utc_now(),
                kind="lab",
                outcome=ACTIVE,
                practice_id=lab_id,
                detail={"step": "approve", "account": partner.id},
            )
        )

    def _practice_api(self, practice_id: str) -> UsersApi:
        if practice_id.startswith(LAB_PREFIX):
            raise SettingError(
                f"{practice_id} is a lab's own side, not a practice",
                hint=f"What a lab can do is to accept requests: ormco lab approve {practice_id}",
            )
        return self._api(practice_id)

    def _look(self, api: UsersApi, practice_id: str, region: str | None, step: str = "none") -> LabReport:
        """Read how a practice's lab connection stands, and remember it."""
        before = self._resources.store.existing(practice_id).lab
        me = api.me()
        report = practice_side_report(me, practice_id, self._region(me.account, region), self._labs, before)
        self._remember(practice_id, report.lab, step)
        return replace(report, step=step)

    def _ask(self, api: UsersApi, practice_id: str, region: str | None) -> LabReport:
        me = api.me()
        email = self._labs[self._region(me.account, region)]
        partner = best(me, email)
        if partner is None:
            self._request(api, me.account, practice_id, email)
            return self._look(api, practice_id, region, "request")
        if partner.asked_us and not partner.accepted:
            self._approve(api, me.account, partner)
            return self._look(api, practice_id, region, "approve")
        return self._look(api, practice_id, region)

    def _request(self, api: UsersApi, account: Account, practice_id: str, email: str) -> None:
        by_hand = portal_steps(self._resources.provider, practice_id, email)
        lab_id = api.lab_id(email)
        if lab_id is None:
            raise LabConnectionNotFoundError(
                f"the users API knows no lab with the address {email}",
                hint=f"If Ormco's lab has another address, set ORMCO_LAB_… to it. {by_hand}",
            )
        try:
            api.request_connection(account.id, lab_id)
        except (LabConnectionNotFoundError, ClientRefusedError) as exc:
            # Somebody may have been faster, here or in the portal.
            if best(api.me(), email) is None:
                raise type(exc)(exc.message, hint=by_hand) from None

    def _approve(self, api: UsersApi, account: Account, partner: Partner) -> None:
        try:
            api.approve(account.id, partner.connection_id)
        except (LabConnectionNotFoundError, ClientRefusedError) as exc:
            by_hand = 'Do it by hand: log in to the account in the portal and accept it under "Connections".'
            raise type(exc)(exc.message, hint=by_hand) from None

    def _accept_from(self, api: UsersApi, practice_id: str, account: Account) -> LabReport:
        """Accept a practice's request, if there is one by now."""
        region = self._region(account, None)
        me = self._lab_account(api, LAB_PREFIX + region)
        partner = next((each for each in me.partners if each.is_account(account)), None)
        step = "none"
        if partner is not None and partner.asked_us and not partner.accepted:
            self._approve(api, me.account, partner)
            partner, step = replace(partner, accepted=True), "approve"
        report = lab_side_report(partner, practice_id, region, self._labs[region], step)
        self._remember(practice_id, report.lab, step)
        return report
