"""The web application: a profile page on which a practice connects 3Shape, as OrmcoDigital could have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from flask import Flask, Response, current_app, flash, g, redirect, render_template, request, session, url_for
from requests.exceptions import RequestException
from security import protect
from words import describe, event_words, sentence

from connector import Config, Connection, Connector, ConnectorError
from connector.errors import AccountUnconfirmedError, ConnectionNotFoundError
from connector.revocation.removal import Removal, steps_by_hand

__all__ = ["create_app"]

_EVENTS_SHOWN = 10


class _ConsentNeeded(Exception):  # noqa: N818 - the way on, not an error
    """Only the practice can repair the connection, in its own browser."""


def create_app(config: Config, *, url: str, sessions: Path) -> Flask:
    """Return the application.

    Args:
        config: the connector's settings.
        url: the address that people use; `<url>/connected` has to be registered as a redirect URI.
        sessions: the file that all worker processes keep sessions in.
    """
    app = Flask(__name__)
    protect(app, url=url, sessions=sessions)
    app.extensions["config"] = config
    app.extensions["url"] = url
    # One store and two registered redirect URIs: this application's own, and the setting's: Ormco's page,
    # where an address has to be copied. An answer to either is taken in either place.
    app.extensions["connector"] = Connector.from_config(replace(config, redirect_uri=f"{url}/connected"))
    app.extensions["connector_for_pastes"] = Connector.from_config(config)
    app.add_url_rule("/profile", view_func=profile)
    app.add_url_rule("/events", view_func=events)
    app.add_url_rule("/connect", view_func=connect, methods=["POST"])
    app.add_url_rule("/connect-elsewhere", view_func=connect_elsewhere, methods=["POST"])
    app.add_url_rule("/connected", view_func=connected)
    app.add_url_rule("/paste", view_func=paste, methods=["POST"])
    app.add_url_rule("/whose", view_func=ask_whose)
    app.add_url_rule("/whose", "answer_whose", answer_whose, methods=["POST"])
    app.add_url_rule("/repair", view_func=repair, methods=["POST"])
    app.add_url_rule("/test", view_func=test, methods=["POST"])
    app.add_url_rule("/disconnect", view_func=ask_to_disconnect)
    app.add_url_rule("/disconnect", "disconnect", disconnect, methods=["POST"])
    app.register_error_handler(ConnectorError, _tell)
    return app


def profile() -> str:
    """Show the connection, what can be done with it, and what happened."""
    found = _status()
    happened = _connector().events(practice_id=g.person.practice_id)
    return render_template(
        "profile.html",
        connection=found,
        view=describe(found),
        events=[_event(each) for each in reversed(happened[-_EVENTS_SHOWN:])],
        last=happened[-1].sequence if happened else 0,
    )


def events() -> dict[str, Any]:
    """Return what has happened since, in whichever worker process, for the page to show."""
    after = request.args.get("after", 0, type=int)
    new = _connector().events(after=after, practice_id=g.person.practice_id, limit=100)
    found = _status()
    return {"state": found.state.value if found else "none", "events": [_event(each) for each in new]}


def connect() -> Response:
    """Send the browser to 3Shape; it comes back to `connected`."""
    return _ask(_connector())


def connect_elsewhere() -> Response:
    """Send another tab to 3Shape; it ends on Ormco's page, and its address is pasted here."""
    return _ask(current_app.extensions["connector_for_pastes"])


def connected() -> Response:
    """Take 3Shape's answer from this request's address, and leave that address at once."""
    # As it was sent: Werkzeug's own `url` is decoded and encoded anew.
    query = request.query_string.decode("ascii", "replace")
    return _complete(f"{current_app.extensions['url']}/connected?{query}")


def paste() -> Response:
    """Take whatever a person has copied."""
    return _complete(request.form.get("answer", ""))


def ask_whose() -> str | Response:
    """Show whose account it is that gave access, and ask whether it is the right one."""
    if "account" not in session:
        return _to_profile()
    return render_template("whose.html", account=session["account"])


def answer_whose() -> Response:
    """Connect to the account that was shown, or give its access back."""
    account = session.pop("account", {})
    if request.form.get("right") != account.get("id"):
        _connector().reject_account(g.person.practice_id, binding=session["secret"])
        flash("Not connected: that was not your account.", "bad")
        return _to_profile()
    done = _connector().confirm_account(
        g.person.practice_id, account_id=account["id"], binding=session["secret"]
    )
    flash(f"Connected to {done.account or 'your account'}.", "good")
    return _to_profile()


def repair() -> Response:
    """Find out what is wrong, and ask for access again only if nothing less helps."""
    try:
        done = _connector().repair(g.person.practice_id, capture=_not_here)
    except _ConsentNeeded:
        return _ask(_connector())
    flash(f"Checked: {done.found}.", "good")
    return _to_profile()


def test() -> Response:
    """Call 3Shape as the practice, as a backend does whenever it has something to do there."""
    users_url = current_app.extensions["config"].load_provider().users_url
    try:
        with _connector().session(g.person.practice_id) as http:
            answer = http.get(f"{users_url}/api/users/me", timeout=20)
            answer.raise_for_status()
        flash(f"3Shape answers, and knows you as {answer.json()['Name']}.", "good")
    except RequestException as exc:
        flash(f"3Shape did not answer as it should ({type(exc).__name__}).", "bad")
    return _to_profile()


def ask_to_disconnect() -> str | Response:
    """Say what will be cut off, and how."""
    consequences = _connector().revocation_steps(g.person.practice_id)
    if consequences is None:
        return _to_profile()
    provider = current_app.extensions["config"].load_provider()
    who = consequences.account.email if consequences.account else None
    steps = steps_by_hand(provider.applications_page, who) if consequences.whole_application else []
    return render_template("disconnect.html", consequences=consequences, steps=steps, provider=provider)


def disconnect() -> Response:
    """Take Ormco's access back: at 3Shape, or after the practice has done it there; with proof."""
    removed = request.form.get("removed") == "yes"
    removal = Removal(remove=_not_here, method="by_hand", done=removed)
    _connector().revoke(g.person.practice_id, removal=removal)
    flash("Disconnected: 3Shape refuses Ormco now, and the tokens are deleted.", "good")
    return _to_profile()


def _connector() -> Connector:
    return cast(Connector, current_app.extensions["connector"])


def _status() -> Connection | None:
    try:
        return _connector().status(g.person.practice_id)
    except ConnectionNotFoundError:
        return None


def _ask(connector: Connector) -> Response:
    # The session's own secret: nobody can slip the answer of another session into this one (RFC 9700 §4.7).
    begun = connector.begin(g.person.practice_id, binding=session["secret"])
    return cast(Response, redirect(begun.url, 303))


def _complete(answer: str) -> Response:
    done = _connector().complete(answer, practice_id=g.person.practice_id, binding=session["secret"])
    flash(f"Connected to {done.account or 'your account'}.", "good")
    return _to_profile()


def _not_here(*_: object, **__: object) -> Any:
    raise _ConsentNeeded


def _event(event: Any) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "at": f"{event.at:%H:%M:%S}",
        "text": event_words(event),
        "bad": event.state == "needs_repair",
    }


def _tell(error: ConnectorError) -> Any:
    if request.endpoint in ("profile", "events"):  # the page to which the others lead back
        return render_template("error.html", title="Not just now", text=sentence(error), hint=error.hint), 503
    if isinstance(error, AccountUnconfirmedError) and error.account is not None:
        # Anybody can send this browser here with a code of their own: only the person can tell.
        session["account"] = {"id": error.account.id, "name": str(error.account)}
        return redirect(url_for("ask_whose"), 303)
    flash(sentence(error), "bad")
    if error.hint:
        flash(error.hint, "hint")
    return _to_profile()


def _to_profile() -> Response:
    return cast(Response, redirect(url_for("profile"), 303))
