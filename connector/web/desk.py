"""The support desk: all practices, those that need attention first, with the reason and the next step."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for

from connector import words
from connector.errors import (
    AccountUnconfirmedError,
    ConnectorError,
    ConsentRequiredError,
)
from connector.web.desk_list import DeskList
from connector.web.page_parts import error_page, flash_error, new_blueprint, status_of
from connector.web.page_security import PageSecurity
from connector.web.support_person import Role, SupportPerson

if TYPE_CHECKING:
    from flask import Request
    from werkzeug import Response

    from connector.connector import Connector

__all__ = ["desk_pages"]

_EVENTS_SHOWN = 50
_CASES_SHOWN = 10


Authorize = Callable[["Request"], SupportPerson | None]


def desk_pages(
    connector: Connector,
    *,
    authorize: Authorize,
    secret: bytes | None = None,
    hosts: Collection[str] | None = None,
    name: str = "ormco_desk",
) -> Blueprint:
    """Return a Flask blueprint with the desk.

    Args:
        connector: the library.
        authorize: returns the `SupportPerson` who sends a request, or None to refuse the request.
        secret: server secret, the same on every app server; by default the application's `secret_key`.
        hosts: host names that the pages are served under; None leaves this check to the application.
        name: the name of the blueprint.
    """
    return _Desk(connector, authorize).blueprint(name, secret, hosts)


class _Desk:
    def __init__(self, connector: Connector, authorize: Authorize) -> None:
        self._shared = connector
        self._authorize = authorize
        self._list = DeskList(connector)

    def blueprint(self, name: str, secret: bytes | None, hosts: Collection[str] | None) -> Blueprint:
        pages = new_blueprint(name)
        security = PageSecurity(pages, secret=secret, person=lambda: self._person().name, hosts=hosts)
        pages.before_request(self._require_person)
        self._security = security
        pages.add_url_rule("/", "page", self._list.page)
        pages.add_url_rule("/list", "rows", self._list.rows)
        pages.add_url_rule("/changes", "changes", self._list.changes)
        pages.add_url_rule("/practice", "practice", self._practice_page)
        pages.add_url_rule("/practice/cases", "cases", self._cases)
        pages.add_url_rule("/practice/revoke", "ask_to_revoke", self._ask_to_revoke)
        for action, (view, role) in self._actions().items():
            pages.add_url_rule(f"/practice/{action}", action, self._guarded(view, role), methods=["POST"])
        pages.register_error_handler(ConnectorError, self._show_error)
        pages.context_processor(lambda: {"person": g.get("support_person"), "words": words})
        return pages

    def _actions(self) -> dict[str, tuple[Callable[[str], Any], Role]]:
        return {
            "link": (self._link, Role.MEND),
            "paste": (self._paste, Role.MEND),
            "confirm": (self._confirm, Role.MEND),
            "repair": (self._repair, Role.MEND),
            "lab": (self._lab, Role.MEND),
            "revoke": (self._revoke, Role.REVOKE),
            "removed": (self._removed, Role.REVOKE),
        }

    # --- the support person

    def _person(self) -> SupportPerson:
        if "support_person" not in g:
            person = self._authorize(request)
            if not isinstance(person, SupportPerson) or Role.VIEW not in person.roles:
                abort(403, "You have no permission for this page.")
            g.support_person = person
        return cast(SupportPerson, g.support_person)

    def _require_person(self) -> None:
        if request.endpoint and not request.endpoint.endswith(".static"):
            self._person()

    def _connector(self) -> Connector:
        return self._shared.acting_as(self._person().name)

    def _require(self, role: Role) -> None:
        if role not in self._person().roles:
            abort(403, "You may look, but not change this.")

    def _guarded(self, view: Callable[[str], Any], role: Role) -> Callable[[], Any]:
        def act() -> Any:
            self._require(role)
            if request.form.get("then") == "connect":
                self._require(Role.MEND)
            return view(_practice_id(request.form.get("practice", "")))

        return act

    # --- one practice

    def _practice_page(self) -> str:
        practice_id = _practice_id(request.args.get("id", ""))
        return self._shown(practice_id)

    def _shown(self, practice_id: str, **more: Any) -> str:
        connection = status_of(self._shared, practice_id)
        events = self._shared.events(practice_id=practice_id, limit=_EVENTS_SHOWN, last=True)
        return render_template(
            "ormco/desk_practice.html",
            practice_id=practice_id,
            connection=connection,
            description=words.describe(connection),
            step=words.next_step(connection),
            unconfirmed=self._shared.unconfirmed_account(practice_id),
            events=list(reversed(events)),
            last=events[-1].sequence if events else 0,
            **more,
        )

    def _cases(self) -> str:
        practice_id = _practice_id(request.args.get("id", ""))
        cases = self._connector().cases.list(practice_id, limit=_CASES_SHOWN)
        return render_template("ormco/desk_cases.html", cases=cases)

    def _link(self, practice_id: str) -> str:
        """Create a link for the practice; the response is pasted here or on the practice's page."""
        request_ = self._connector().begin(
            practice_id, expected_account=request.form.get("expected_account", "").strip() or None
        )
        return self._shown(practice_id, link=request_)

    def _paste(self, practice_id: str) -> Response:
        try:
            connection = self._connector().complete(request.form.get("answer", ""), practice_id=practice_id)
        except AccountUnconfirmedError:
            return self._to_practice(practice_id, "confirm")
        flash(f"{practice_id} is connected to {connection.account or 'its account'}.", "good")
        return self._to_practice(practice_id)

    def _confirm(self, practice_id: str) -> Response:
        if request.form.get("answer") != "yes":
            self._connector().reject_account(practice_id)
            flash("The account was not connected.", "good")
        else:
            connection = self._connector().confirm_account(
                practice_id, account_id=request.form.get("account_id", "")
            )
            flash(f"{practice_id} is connected to {connection.account}.", "good")
        return self._to_practice(practice_id)

    def _repair(self, practice_id: str) -> Any:
        try:
            repair = self._connector().repair(practice_id, interactive=False)
        except ConsentRequiredError as error:
            flash(f"{words.sentence(error.message)} Send the practice this link.", "hint")
            return self._link(practice_id)
        flash(f"Checked: {repair.found}.", "good")
        return self._to_practice(practice_id)

    def _lab(self, practice_id: str) -> Response:
        report = self._connector().lab.request(practice_id)
        flash(f"Lab connection: {words.lab_words(report.lab.state)}.", "good")
        return self._to_practice(practice_id)

    def _ask_to_revoke(self) -> str | Response:
        self._require(Role.REVOKE)
        practice_id = _practice_id(request.args.get("id", ""))
        steps = self._shared.revocation_steps(practice_id)
        if steps is None:
            flash("Nothing is left to revoke.", "good")
            return self._to_practice(practice_id)
        reconnects = request.args.get("then") == "connect" and Role.MEND in self._person().roles
        return render_template(
            "ormco/desk_revoke.html", practice_id=practice_id, steps=steps, reconnects=reconnects
        )

    def _revoke(self, practice_id: str) -> Any:
        self._connector().revoke(practice_id, interactive=False)
        return self._after_revocation(practice_id)

    def _removed(self, practice_id: str) -> Any:
        self._connector().confirm_revoked(practice_id)
        return self._after_revocation(practice_id)

    def _after_revocation(self, practice_id: str) -> Any:
        flash(f"Ormco has no access to {practice_id} any more; the tokens are deleted.", "good")
        if request.form.get("then") == "connect":  # reconnect: the same practice, from the start
            return self._link(practice_id)
        return self._to_practice(practice_id)

    # --- steps

    def _show_error(self, error: ConnectorError) -> Any:
        practice_id = request.form.get("practice", "")
        if request.method == "GET" or not practice_id:
            return error_page(error)
        flash_error(error)
        return self._to_practice(practice_id)

    def _to_practice(self, practice_id: str, fragment: str = "") -> Response:
        return redirect(url_for(".practice", id=practice_id, _anchor=fragment or None), 303)


def _practice_id(text: str) -> str:
    """Return a practice id without the spaces around it; refuse an empty one."""
    practice_id = text.strip()
    if not practice_id:
        abort(400, "Name a practice.")
    return practice_id
