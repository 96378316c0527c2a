"""The metadata API: cases, their versions and files, region by region."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn

from flask import Blueprint, Response, abort, make_response, request
from werkzeug.exceptions import HTTPException

from connector.sandbox.accounts import REGIONS, Account
from connector.sandbox.bearer import bearer_account
from connector.sandbox.case_book import SandboxCase, Version
from connector.sandbox.case_downloads import send_file
from connector.sandbox.case_json import case_object
from connector.sandbox.sessions import machine, the_world

__all__ = ["blueprint"]

blueprint = Blueprint("cases", __name__)

_PAGE = 10


@blueprint.get("/api/servers")
@blueprint.get("/metadata/<region>/api/servers")
@machine("api")
def servers(region: str | None = None) -> Any:
    """Answer with the base address of the account's region, whatever region is asked."""
    account, world = _account(), the_world()
    if world.on("no-servers"):
        return make_response("", 404)
    if world.on("foreign-servers"):
        return ["https://metadata.elsewhere.test/api/"]
    others = [key for key in REGIONS if key != account.region.key]
    return [_base(others[0] if world.on("other-servers") else account.region.key)]


@blueprint.get("/metadata/<region>/api/cases")
@machine("api")
def listing(region: str) -> dict[str, Any]:
    """Answer with ten cases, the newest first, and how many there are."""
    found = _between(_mine(region))
    text = request.args.get("page", "")
    if not text.isdigit():
        _refuse("The parameter page is required.")
    start = int(text) * _PAGE
    page = found[start : start + _PAGE]
    _stir(found, start + _PAGE)
    return {"Cases": [_object(case, case.newest) for case in page], "Count": len(found)}


@blueprint.get("/metadata/<region>/api/updatedcases")
@machine("api")
def updated(region: str) -> list[dict[str, Any]]:
    """Answer with every case that was updated in a span of time, without pages."""
    if "from" not in request.args:
        _refuse("The parameter from is required.")
    the_world().counters["api:updatedcases"] += 1
    return [_object(case, case.newest) for case in _between(_mine(region))]


@blueprint.get("/api/cases/<case_id>")
@blueprint.get("/metadata/<region>/api/cases/<case_id>")
@machine("api")
def case(case_id: str, region: str | None = None) -> dict[str, Any]:
    """Answer with the newest version of a case."""
    found = _case(case_id, region)
    return _object(found, found.newest)


@blueprint.get("/metadata/<region>/api/cases/<case_id>/version/<int:number>")
@machine("api")
def version(region: str, case_id: str, number: int) -> dict[str, Any]:
    """Answer with one version of a case."""
    found = _case(case_id, region)
    one = found.version(number)
    if one is None or (the_world().on("versions-gone") and one is not found.newest):
        _refuse(f"No case with Id {case_id} could be found")
    return _object(found, one)


@blueprint.get("/metadata/<region>/api/cases/<case_id>/attachments/<mark>")
@machine("api")
def attachment(region: str, case_id: str, mark: str) -> Response:
    """Send a file by its hash or id; STL files only to labs."""
    account, found = _account(), _case(case_id, region)
    for one in reversed(found.versions):
        for file in one.files:
            if mark.lower() in (file.sha1, file.id):
                if file.file_type == "stl" and (not account.is_lab or the_world().on("no-stl")):
                    _refuse("You don't have permission to access this resource.")
                return send_file(file)
    return _refuse(f"No attachment with Id {mark} could be found")


@blueprint.get("/metadata/<region>/api/cases/increments/<increment>")
@blueprint.get("/metadata/<region>/api/caseincrements/<increment>")
@machine("api")
def increment(region: str, increment: str) -> Any:
    """Say that there is no such increment."""
    _account()
    _refuse(f"No increment with Id {increment} could be found")


@blueprint.get("/metadata/<region>/api/cases/<case_id>/comments/<int:number>/text")
@machine("api")
def comment(region: str, case_id: str, number: int) -> Any:
    """Answer with the text of a comment."""
    comments = _case(case_id, region).newest.comments
    return comments[number - 1] if 0 < number <= len(comments) else _refuse("Comment not found")


@blueprint.put("/metadata/<region>/api/cases/<case_id>/state/<state>")
@machine("api")
def change_state(region: str, case_id: str, state: str) -> Any:
    """Approve or reject, with an empty answer."""
    account, found = _account(), _case(case_id, region)
    if state not in ("approved", "rejected"):
        _refuse(f"Unsupported state: {state}")
    the_world().cases.update(
        found, found.newest.state, state.capitalize(), did=f"state {state}", role=account.role
    )
    return make_response("", 200)


def _account() -> Account:
    try:
        return bearer_account()
    except HTTPException as refused:
        expired = refused.response is not None and refused.response.status_code == 401
        if expired and the_world().on("expired-500"):
            abort(make_response("An error has occurred.", 500, {"Content-Type": "text/plain"}))
        raise


def _mine(region: str | None) -> list[SandboxCase]:
    """Return the account's cases; a region that is not its own knows none of them, and says nothing."""
    account = _account()
    return the_world().cases.of(account) if region in (account.region.key, None) else []


def _case(case_id: str, region: str | None) -> SandboxCase:
    account = _account()
    found = the_world().cases.get(case_id)
    if found is None or region not in (account.region.key, None):
        _refuse(f"No case with Id {case_id} could be found")
    if account not in (found.clinic, found.lab):
        _refuse(f"You don't have permission to access case {case_id}")
    return found


def _between(cases: list[SandboxCase]) -> list[SandboxCase]:
    since, until = _moment("from"), _moment("to")
    return [
        one
        for one in cases
        if (since is None or one.newest.at >= since) and (until is None or one.newest.at <= until)
    ]


def _moment(name: str) -> float | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _refuse(f"The parameter {name} is not a date.")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _stir(found: list[SandboxCase], read: int) -> None:
    """Move cases while somebody reads the list, where a scenario says so."""
    world = the_world()
    if world.on("cases-move") and len(found) > read:
        oldest = found[-1]
        world.cases.update(
            oldest, oldest.newest.state, oldest.newest.flag, did="comment", role=oldest.clinic.role
        )
    if world.on("cases-vanish") and len(found) > read > 0:
        world.cases.remove(found[read - _PAGE])


def _object(found: SandboxCase, one: Version) -> dict[str, Any]:
    return case_object(found, one, base=_base(found.clinic.region.key), on=the_world().on)


def _base(region: str) -> str:
    return f"{the_world().base_url}/metadata/{region}/api/"


def _refuse(message: str) -> NoReturn:
    # 400 with a sentence, never 404 or 403: that is how the documents show it.
    abort(make_response({"Message": message}, 400))
