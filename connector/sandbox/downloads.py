"""Downloads of files: whole or by parts, and everything that can go wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import flask
from flask import Blueprint, Response, abort, redirect, request

from connector.sandbox.case_files import CaseFile
from connector.sandbox.sessions import state

__all__ = ["answer_with_file", "blueprint"]

blueprint: Blueprint = Blueprint("downloads", __name__)

_CUT_AFTER = 7000
_SHORT_PART = 1000


def answer_with_file(case_id: str, file: CaseFile) -> Any:
    """Answer with a file, or with a redirect to another origin that sends it."""
    state.counters["api:attachments"] += 1
    if state.on("download-redirect"):
        # Another origin than 127.0.0.1 to every client, and the only other one that leads here.
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
    response = flask.send_file(
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
