"""The practice's page: connect, paste, repair, test, disconnect, history."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for

from connector.errors import (
    AccountUnconfirmedError,
    ConnectorError,
    ConsentRequiredError,
)
from connector.repair import Need
from connector.web.page_parts import error_page, flash_error, new_blueprint, status_of
from connector.web.page_security import PageSecurity
from connector.words import describe, event_words

if TYPE_CHECKING:
    from flask import Request
    from werkzeug import Response

    from connector.connection import Event
    from connector.connector import Connector

__all__ = ["practice_pages"]

_EVENTS_SHOWN = 12
_LONGEST_PASTE = 64 * 1024
NameOf = Callable[["Request"], str | None]


def practice_pages(
    connector: Connector,
    *,
    practice_of: NameOf,
    actor_of: NameOf | None = None,
    callback_url: str | None = None,
    secret: bytes | None = None,
    hosts: Collection[str] | None = None,
    name: str = "ormco_practice",
) -> Blueprint:
    """Return a Flask blueprint with the practice's page, to be registered behind your own login.

    Example:
        >>> app.register_blueprint(  # doctest: +SKIP
        ...     practice_pages(connector, practice_of=lambda request: current_user.practice_id),
        ...     url_prefix="/3shape",
        ... )

    Args:
        connector: the library.
        practice_of: returns the practice id of the sender of a request, or None if no person is signed in.
        actor_of: returns the name of the signed-in person for the audit record; by default the practice id.
        callback_url: the address of this blueprint's `connected` page, if it is registered at 3Shape as a
            redirect URI. None: people copy the address of the last page, and paste it.
        secret: server secret, the same on every app server; by default the application's `secret_key`.
        hosts: host names that the pages are served under; None leaves this check to the application.
        name: the name of the blueprint.
    """
    return _PracticePages(connector, practice_of, actor_of, callback_url).blueprint(name, secret, hosts)


class _PracticePages:
    def __init__(
        self, connector: Connector, practice_of: NameOf, actor_of: NameOf | None, callback_url: str | None
    ) -> None:
        self._shared = connector
        self._practice_of = practice_of
        self._actor_of = actor_of
        self._callback_url = callback_url

    def blueprint(self, name: str, secret: bytes | None, hosts: Collection[str] | None) -> Blueprint:
        pages = new_blueprint(name)
        self._security = PageSecurity(pages, secret=secret, person=self._person, hosts=hosts)
        pages.add_url_rule("/", "page", self._page)
        pages.add_url_rule("/events", "events", self._events)
        pages.add_url_rule("/connected", "connected", self._connected)
        pages.add_url_rule("/disconnect", "ask_to_disconnect", self._ask_to_disconnect)
        for action, view in self._actions().items():
            pages.add_url_rule(f"/{action}", action.replace("-", "_"), view, methods=["POST"])
        pages.register_error_handler(ConnectorError, self._show_error)
        pages.after_request(_hide_address)
        return pages

    def _actions(self) -> dict[str, Callable[[], Response]]:
        return {
            # The browser comes back to `connected`; another tab ends on a page whose address is pasted.
            "connect": lambda: self._to_consent(self._callback_url),
            "connect-elsewhere": lambda: self._to_consent(None),
            "paste": self._paste,
            "confirm": self._confirm,
            "repair": self._repair,
            "test": self._test,
            "disconnect": self._disconnect,
        }

    # --- the signed-in person

    def _practice(self) -> str:
        practice_id = self._practice_of(request)
        if practice_id is None:
            abort(401, "You are not signed in, so nothing was done. Sign in and try again.")
        return practice_id

    def _person(self) -> str:
        practice_id = self._practice_of(request) or ""
        actor = self._actor_of(request) if self._actor_of else None
        return f"{practice_id}\0{actor or ''}"

    def _connector(self) -> Connector:
        actor = self._actor_of(request) if self._actor_of else None
        return self._shared.acting_as(actor or self._practice())

    # --- pages

    def _page(self) -> str:
        practice_id = self._practice()
        connection = status_of(self._shared, practice_id)
        events = self._connector().events(practice_id=practice_id, limit=_EVENTS_SHOWN, last=True)
        return render_template(
            "ormco/practice.html",
            connection=connection,
            description=describe(connection),
            unconfirmed=self._shared.unconfirmed_account(practice_id),
            events=[(event, event_words(event)) for event in reversed(events)],
            last=events[-1].sequence if events else 0,
            has_callback=self._callback_url is not None,
        )

    def _events(self) -> dict[str, Any]:
        practice_id = self._practice()
        after = request.args.get("after", 0, type=int)
        new = self._shared.events(after=after, practice_id=practice_id, limit=100)
        connection = status_of(self._shared, practice_id)
        state = connection.state.value if connection else "none"
        return {"state": state, "events": [_shown(event) for event in new]}

    def _connected(self) -> Response:
        """Take 3Shape's response from this request's address, then redirect, so that it is not shown."""
        # The address exactly as sent: Werkzeug's `url` is decoded and encoded again.
        query = request.query_string.decode("ascii", "replace")
        return self._complete(f"?{query}")  # this address is the redirect URI, whatever the settings name

    def _paste(self) -> Response:
        return self._complete(request.form.get("answer", "")[: _LONGEST_PASTE + 1])

    def _confirm(self) -> Response:
        """Confirm or reject the account that the person has just seen."""
        practice_id, connector = self._practice(), self._connector()
        if request.form.get("answer") != "yes":
            connector.reject_account(practice_id, binding=self._security.binding())
            flash("The account was not connected.", "good")
            return self._to_page()
        connection = connector.confirm_account(
            practice_id, account_id=request.form.get("account_id", ""), binding=self._security.binding()
        )
        flash(f"Connected to {connection.account or 'your account'}.", "good")
        return self._to_page()

    def _repair(self) -> Response:
        """Repair without a person if that is possible; otherwise ask for access again."""
        try:
            repair = self._connector().repair(self._practice(), interactive=False)
        except ConsentRequiredError:
            if self._callback_url is None:
                flash("3Shape needs your permission again. Connect with a code.", "hint")
                return self._to_page("paste")
            return self._to_consent(self._callback_url)
        flash(f"Checked: {repair.found}.", "good")
        return self._to_page()

    def _test(self) -> Response:
        """Test the connection by a call to 3Shape."""
        practice_id, connector = self._practice(), self._connector()
        diagnosis = connector.diagnose(practice_id)
        if diagnosis.needs is Need.REFRESH:
            connector.refresh(practice_id, force=True)  # a dead grant is marked, so that every page shows it
            diagnosis = connector.diagnose(practice_id)
        if diagnosis.needs is Need.NOTHING and diagnosis.connection is not None:
            account = diagnosis.connection.account
            who = account and (account.name or account)
            flash(f"3Shape responds, and knows you as {who or 'the account that you connected'}.", "good")
        else:
            flash(f"Something is wrong: {diagnosis.found}.", "bad")
        return self._to_page()

    def _ask_to_disconnect(self) -> str | Response:
        steps = self._shared.revocation_steps(self._practice())
        if steps is None:
            return self._to_page()
        return render_template("ormco/disconnect.html", steps=steps)

    def _disconnect(self) -> Response:
        practice_id, connector = self._practice(), self._connector()
        if request.form.get("removed") == "yes":
            connector.confirm_revoked(practice_id)
        else:
            connector.revoke(practice_id, interactive=False)
        flash("Disconnected: 3Shape refuses Ormco now, and the tokens are deleted.", "good")
        return self._to_page()

    # --- steps

    def _to_consent(self, redirect_uri: str | None) -> Response:
        # The session's own secret: no one can inject another session's response (RFC 9700 §4.7).
        begun = self._connector().begin(
            self._practice(), binding=self._security.binding(), redirect_uri=redirect_uri
        )
        return redirect(begun.url, 303)

    def _complete(self, pasted: str) -> Response:
        try:
            connection = self._connector().complete(
                pasted, practice_id=self._practice(), binding=self._security.binding()
            )
        except AccountUnconfirmedError:
            return self._to_page("confirm")
        flash(f"Connected to {connection.account or 'your account'}.", "good")
        return self._to_page()

    def _show_error(self, error: ConnectorError) -> Any:
        if request.method == "GET" and request.endpoint and not request.endpoint.endswith(".connected"):
            # The other pages redirect to this one, so it must not redirect to itself.
            return error_page(error)
        flash_error(error)
        return self._to_page()

    def _to_page(self, fragment: str = "") -> Response:
        return redirect(url_for(".page", _anchor=fragment or None), 303)


def _hide_address(response: Response) -> Response:
    """Send no referrer from the callback: its address contains the code."""
    if request.endpoint and request.endpoint.endswith(".connected"):
        response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _shown(event: Event) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "at": event.at.isoformat(timespec="seconds"),
        "text": event_words(event),
        "bad": event.state == "needs_repair",
    }
