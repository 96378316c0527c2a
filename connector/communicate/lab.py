"""Ormco as a lab in a practice's Communicate account: request it, accept it, wait until it is active."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from connector.calls import Scope, operation
from connector.communicate.lab_report import (
    ACTIVE,
    LabReport,
    Waiting,
    best_connection,
    check_lab_account,
    lab_email,
    lab_region,
    lab_side_report,
    practice_side_report,
    require_request,
    wait_until_active,
)
from connector.communicate.users import AccountConnection, User, UsersApi
from connector.connection import Account, LabConnection
from connector.errors import ClientRefusedError, LabConnectionNotFoundError, SettingError
from connector.oauth.ormco import LAB_PREFIX
from connector.oauth.provider import Provider
from connector.resources import Resources

__all__ = ["OrmcoLab"]


class OrmcoLab:
    """Ormco's labs, and the practices' connections with them.

    The labs' own side acts through ordinary connections named `lab:americas`, `lab:asia-pacific` and
    `lab:europe`.

    Args:
        resources: settings, provider, token endpoint, store and clock.
        token: called as `token(practice_id, rejected)`, returns an access token; `rejected` is one that an
            API refused, or None.
        scope: returns the scope of a library call, for observers and the audit record.
    """

    def __init__(
        self,
        resources: Resources,
        token: Callable[[str, str | None], str],
        *,
        scope: Callable[[str, str | None], Scope],
    ) -> None:
        self._resources = resources
        self.scope = scope
        self._token = token
        self._labs = resources.config.labs

    @operation("lab.status")
    def status(
        self,
        practice_id: str,
        *,
        region: str | None = None,
        wait: float = 0,
        waiting: Waiting = lambda report: None,
    ) -> LabReport:
        """Read a practice's lab connection.

        Args:
            practice_id: the practice.
            region: the lab's region; by default the account's own.
            wait: seconds to wait for the lab to accept, which can take 24 hours.
            waiting: called before the wait with the current state.

        Raises:
            connector.errors.StillWaitingError: the wait ended before the lab accepted.
            connector.errors.LabConnectionNotFoundError: there is no request to wait for.
            connector.errors.ConnectorError: as `Connector.access_token`; or the API does not respond.
        """
        read = partial(self._read, self._practice_api(practice_id), practice_id, region)
        report = read()
        if wait > 0:
            require_request(report)
        return wait_until_active(report, wait, read, waiting=waiting, clock=self._resources.clock)

    @operation("lab.request")
    def request(
        self,
        practice_id: str,
        *,
        region: str | None = None,
        wait: float = 0,
        waiting: Waiting = lambda report: None,
    ) -> LabReport:
        """Request a connection with Ormco's lab unless there is one; accept it if the lab has asked.

        Arguments and errors are those of `status`. The request stays even if the wait ends without success.
        """
        api = self._practice_api(practice_id)
        me = api.me()
        email = self._labs[lab_region(self._labs, me.account, region)]
        found, step = best_connection(me, email), "none"
        if found is None:
            self._request(api, me.account, email)
            step = "request"
        elif found.asked_us and not found.accepted:
            self._approve(api, me.account, found)
            step = "approve"
        # Read again: only the provider knows the result.
        read = partial(self._read, api, practice_id, region)
        report = wait_until_active(read(step), wait, read, waiting=waiting, clock=self._resources.clock)
        return replace(report, step=step)

    @operation("lab.approve")
    def approve(
        self, practice_id: str, *, wait: float = 0, waiting: Waiting = lambda report: None
    ) -> LabReport:
        """Accept a practice's request as the lab of its region.

        Args:
            practice_id: a practice that is stored here.
            wait: seconds to wait for its request.
            waiting: called before the wait with the current state.

        Raises:
            connector.errors.LabConnectionNotFoundError: the practice has made no request.
            connector.errors.StillWaitingError: the practice made no request within the wait.
            connector.errors.ConnectorError: as `status`.
        """
        account = self._resources.store.existing(practice_id).account
        if account is None:
            raise SettingError(
                f"the Communicate account of {practice_id} is not known", hint="Repair the connection first."
            )
        lab_id = LAB_PREFIX + lab_region(self._labs, account)
        accept = partial(self._accept_from, lab_id, practice_id, account)
        report = accept()
        if wait <= 0:
            require_request(report)
        clock = self._resources.clock
        return wait_until_active(report, wait, accept, waiting=waiting, clock=clock, required=False)

    @operation("lab.requests")
    def requests(self, lab_id: str) -> list[AccountConnection]:
        """Return the requests that wait for a lab to accept them.

        Args:
            lab_id: `lab:americas`, `lab:asia-pacific` or `lab:europe`.
        """
        me = self._lab_account(lab_id)[1]
        return [each for each in me.connections if each.asked_us and not each.accepted]

    @operation("lab.accept")
    def accept(self, lab_id: str, request: AccountConnection) -> None:
        """Accept one of the requests that `requests` returned."""
        api, me = self._lab_account(lab_id)
        self._approve(api, me.account, request)
        lab = LabConnection(state=ACTIVE, email=lab_email(self._labs, lab_id))
        store = self._resources.store
        for practice_id in store.practices_of_account(self._resources.provider.name, request.id):
            self._store(practice_id, lab, "approve")
        detail = {"step": "approve", "account": request.id}
        store.audit.append(store.audit.event("lab", ACTIVE, lab_id, detail=detail))

    def _api(self, practice_id: str) -> UsersApi:
        self._resources.connection(practice_id)
        provider = self._resources.provider
        if provider.users_url is None:
            raise SettingError(
                f"{provider.name} has no users API, so lab connections cannot be reached",
                hint="Set users_url in the provider file, or make the lab connection in the portal.",
            )
        return UsersApi(provider, partial(self._token, practice_id), clock=self._resources.clock)

    def _practice_api(self, practice_id: str) -> UsersApi:
        if practice_id.startswith(LAB_PREFIX):
            raise SettingError(
                f"{practice_id} is a lab's own side, not a practice", hint="A lab can only accept requests."
            )
        return self._api(practice_id)

    def _lab_account(self, lab_id: str) -> tuple[UsersApi, User]:
        email = lab_email(self._labs, lab_id)
        api = self._api(lab_id)
        return api, check_lab_account(api.me(), lab_id, email)

    def _read(self, api: UsersApi, practice_id: str, region: str | None, step: str = "none") -> LabReport:
        """Read a practice's lab connection from its account, and store it."""
        before = self._resources.store.existing(practice_id).lab
        me = api.me()
        region = lab_region(self._labs, me.account, region)
        report = practice_side_report(me, practice_id, region, self._labs, before)
        self._store(practice_id, report.lab, step)
        return replace(report, step=step)

    def _request(self, api: UsersApi, account: Account, email: str) -> None:
        by_hand = _portal_steps(self._resources.provider, email)
        lab_id = api.lab_id(email)
        if lab_id is None:
            raise LabConnectionNotFoundError(
                f"the users API knows no lab with the address {email}",
                hint=f"If Ormco's lab has another address, set ORMCO_LAB_… to it. {by_hand}",
            )
        try:
            api.request_connection(account.id, lab_id)
        except (LabConnectionNotFoundError, ClientRefusedError) as exc:
            # It may have been accepted meanwhile, here or in the portal.
            if best_connection(api.me(), email) is None:
                raise type(exc)(exc.message, hint=by_hand) from None

    def _approve(self, api: UsersApi, account: Account, request: AccountConnection) -> None:
        try:
            api.approve(account.id, request.connection_id)
        except (LabConnectionNotFoundError, ClientRefusedError) as exc:
            by_hand = 'Do it by hand: log in to the account in the portal and accept it under "Connections".'
            raise type(exc)(exc.message, hint=by_hand) from None

    def _accept_from(self, lab_id: str, practice_id: str, account: Account) -> LabReport:
        """Accept a practice's request, if there is one now."""
        api, me = self._lab_account(lab_id)
        found = next((each for each in me.connections if each.id.casefold() == account.id.casefold()), None)
        step = "none"
        if found is not None and found.asked_us and not found.accepted:
            self._approve(api, me.account, found)
            found, step = replace(found, accepted=True), "approve"
        report = lab_side_report(found, practice_id, lab_id, self._labs, step)
        self._store(practice_id, report.lab, step)
        return report

    def _store(self, practice_id: str, lab: LabConnection, step: str) -> None:
        """Store a practice's lab connection, if it has changed."""
        store = self._resources.store
        if step != "none" or store.existing(practice_id).lab != lab:
            detail = {"step": step, "email": lab.email or ""}
            store.set_lab(practice_id, lab, store.audit.event("lab", lab.state, practice_id, detail=detail))


def _portal_steps(provider: Provider, email: str) -> str:
    """Return the guide's steps 1-4 of "Getting Connected", for use if the API cannot take them."""
    portal = f" ({provider.portal_url})" if provider.portal_url else ""
    return (
        f'Do it by hand: log in to the practice\'s 3Shape Communicate account{portal}; under "Connections", '
        f'select "Add Connection"; type {email} and select "Find"; in the search results select "Ormco '
        f'Corporation" with exactly this address. Then wait for the lab to accept.'
    )
