"""The metadata API: cases, their versions and files, region by region."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from flask import Blueprint, Response, abort, make_response, redirect, request, send_file
from werkzeug.exceptions import HTTPException

from connector.sandbox.accounts import REGIONS, Account
from connector.sandbox.case_files import CaseFile
from connector.sandbox.case_json import case_object, metadata_url
from connector.sandbox.case_store import SandboxCase
from connector.sandbox.faults import server_error
from connector.sandbox.sessions import state
from connector.sandbox.users_api import bearer_account, refuse

__all__ = ["blueprint"]

blueprint: Blueprint = Blueprint("metadata_api", __name__)

_PAGE = 10
_CUT_AFTER = 7000
_SHORT_PART = 1000


@blueprint.get("/api/servers")
@blueprint.get("/metadata/<region>/api/servers")
def servers(region: str | None = None) -> Any:
    """Return the base address of the account's region, even if the request is to another region."""
    account = _account()
    if state.on("no-servers"):
        return make_response("", 404)
    if state.on("foreign-servers"):
        return ["https://metadata.elsewhere.test/api/"]
    others = [key for key in REGIONS if key != account.region.key]
    return [metadata_url(others[0] if state.on("other-servers") else account.region.key)]


@blueprint.get("/metadata/<region>/api/cases")
def listing(region: str) -> dict[str, Any]:
    """Return a page of ten cases, the newest first, and the number of all cases."""
    found = _between(_mine(region))
    text = request.args.get("page", "")
    if not text.isdigit():
        refuse("The parameter page is required.")
    start = int(text) * _PAGE
    page = found[start : start + _PAGE]
    _stir(found, start + _PAGE)
    return {"Cases": [case_object(case, case.newest) for case in page], "Count": len(found)}


@blueprint.get("/metadata/<region>/api/updatedcases")
def updated(region: str) -> list[dict[str, Any]]:
    """Return every case that was updated in a period, without pages."""
    if "from" not in request.args:
        refuse("The parameter from is required.")
    state.counters["api:updatedcases"] += 1
    return [case_object(case, case.newest) for case in _between(_mine(region))]


@blueprint.get("/api/cases/<case_id>")
@blueprint.get("/metadata/<region>/api/cases/<case_id>")
def case(case_id: str, region: str | None = None) -> dict[str, Any]:
    """Return the newest version of a case."""
    found = _case(case_id, region)
    return case_object(found, found.newest)


@blueprint.get("/metadata/<region>/api/cases/<case_id>/version/<int:number>")
def version(region: str, case_id: str, number: int) -> dict[str, Any]:
    """Return one version of a case."""
    found = _case(case_id, region)
    one = found.version(number)
    if one is None or (state.on("versions-gone") and one is not found.newest):
        refuse(f"No case with Id {case_id} could be found")
    return case_object(found, one)


@blueprint.get("/metadata/<region>/api/cases/<case_id>/attachments/<mark>")
def attachment(region: str, case_id: str, mark: str) -> Any:
    """Send a file by its hash or id; STL files only to labs."""
    account, found = _account(), _case(case_id, region)
    files = [file for one in reversed(found.versions) for file in one.files]
    file = next((file for file in files if mark.lower() in (file.sha1, file.id)), None)
    if file is None:
        refuse(f"No attachment with Id {mark} could be found")
    if file.file_type == "stl" and (not account.is_lab or state.on("no-stl")):
        refuse("You don't have permission to access this resource.")
    return _file_response(found.id, file)


@blueprint.get("/metadata/<region>/api/cases/<case_id>/comments/<int:number>/text")
def comment(region: str, case_id: str, number: int) -> Any:
    """Return the text of a comment."""
    comments = _case(case_id, region).newest.comments
    return comments[number - 1] if 0 < number <= len(comments) else refuse("Comment not found")


@blueprint.put("/metadata/<region>/api/cases/<case_id>/state/<name>")
def change_state(region: str, case_id: str, name: str) -> Any:
    """Approve or reject a case; the response is empty."""
    account, found = _account(), _case(case_id, region)
    if name not in ("approved", "rejected"):
        refuse(f"Unsupported state: {name}")
    state.cases.update(found, (found.newest.state, name.capitalize()), did=f"state {name}", role=account.role)
    return make_response("", 200)


def _account() -> Account:
    try:
        return bearer_account()
    except HTTPException as refused:
        expired = refused.response is not None and refused.response.status_code == 401
        if expired and state.on("expired-500"):
            abort(server_error())
        raise


def _mine(region: str | None) -> list[SandboxCase]:
    """Return the account's cases; in a region that is not its own there are none, without an error."""
    account = _account()
    return state.cases.of(account) if region in (account.region.key, None) else []


def _case(case_id: str, region: str | None) -> SandboxCase:
    account = _account()
    found = state.cases.get(case_id)
    if found is None or region not in (account.region.key, None):
        refuse(f"No case with Id {case_id} could be found")
    if account not in (found.clinic, found.lab):
        refuse(f"You don't have permission to access case {case_id}")
    if state.on("broken-case") and found is state.cases.everything()[0]:
        abort(server_error())
    return found


def _between(cases: list[SandboxCase]) -> list[SandboxCase]:
    since, until = _timestamp("from"), _timestamp("to")
    return [
        one
        for one in cases
        if (since is None or one.newest.at >= since) and (until is None or one.newest.at <= until)
    ]


def _timestamp(name: str) -> float | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        refuse(f"The parameter {name} is not a date.")
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _stir(found: list[SandboxCase], read: int) -> None:
    """Move cases while a client reads the list, if a scenario requires it."""
    if state.on("cases-move") and len(found) > read:
        oldest = found[-1]
        state.cases.update(oldest, oldest.newest.status, did="comment", role=oldest.clinic.role)
    if state.on("cases-vanish") and len(found) > read > 0:
        state.cases.remove(found[read - _PAGE])


def _file_response(case_id: str, file: CaseFile) -> Any:
    """Return a file, or a redirect to another origin that sends it."""
    state.counters["api:attachments"] += 1
    if state.on("download-redirect"):
        # For clients, localhost is a different origin from 127.0.0.1, although it is the same server.
        other = state.base_url.replace("127.0.0.1", "localhost")
        return redirect(f"{other}/blob/{case_id}/{file.id}?signature=made-up", 302)
    return _send(case_id, file)


@blueprint.get("/blob/<case_id>/<file_id>")
def blob(case_id: str, file_id: str) -> Any:
    """Send a file as blob storage does: its address is the permission, and a bearer token is refused."""
    if "Authorization" in request.headers:
        state.counters["blob:with-authorization"] += 1
        abort(400, "Authentication information is not given in the correct format.")
    case = state.cases.get(case_id)
    files = [file for version in case.versions for file in version.files] if case else []
    file = next((file for file in files if file.id == file_id), None)
    if file is None or request.args.get("signature") != "made-up":
        abort(404)
    state.counters["blob:downloads"] += 1
    return _send(case_id, file)


def _send(case_id: str, file: CaseFile) -> Response:
    if state.on("changing-file") and (case_id, file.id) in state.downloaded:
        file = file.changed()
    state.downloaded.add((case_id, file.id))
    content = file.content
    if state.on("damaged-download"):
        middle = len(content) // 2
        content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    response = send_file(
        BytesIO(content),
        mimetype="application/octet-stream",
        etag=file.sha1,
        conditional=not state.on("no-range"),
    )
    response.direct_passthrough = False
    if state.on("short-range") and response.status_code == 206:
        return _short_part(response)
    if state.on("slow-download"):
        return _one_byte_at_a_time(response)
    return _cut(response) if state.on("cut-download") else response


def _short_part(response: Response) -> Response:
    part = response.get_data()[:_SHORT_PART]
    unit, _, span = response.headers["Content-Range"].partition(" ")
    first, total = int(span.partition("-")[0]), span.rpartition("/")[2]
    response.set_data(part)
    response.headers["Content-Range"] = f"{unit} {first}-{first + len(part) - 1}/{total}"
    return response


def _cut(response: Response) -> Response:
    content = response.get_data()
    if len(content) > _CUT_AFTER:
        response.set_data(content[:_CUT_AFTER])
        response.headers["Content-Length"] = str(len(content))
        response.headers["Connection"] = "close"
    return response


def _one_byte_at_a_time(response: Response) -> Response:
    content, seconds, stopping = response.get_data(), state.slow_seconds, state.stopping

    def drip() -> Iterator[bytes]:
        for byte in content:
            if stopping.wait(seconds):
                return
            yield bytes([byte])

    headers = [(key, value) for key, value in response.headers if key != "Content-Length"]
    return Response(drip(), response.status, [*headers, ("Content-Length", str(len(content)))])
