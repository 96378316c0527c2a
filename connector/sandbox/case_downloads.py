"""Files of cases over HTTP, by parts, and cut short or damaged where a scenario says so."""

from __future__ import annotations

import re

from flask import Response, make_response, request

from connector.sandbox.case_files import CaseFile
from connector.sandbox.sessions import the_world

__all__ = ["send_file"]

_CUT_AFTER = 7000
_RANGE = re.compile(r"bytes=(\d+)-")


def send_file(file: CaseFile) -> Response:
    """Answer with a file, or with the part that is asked for."""
    world, content = the_world(), file.content
    world.counters["api:attachments"] += 1
    if world.on("damaged-download"):
        middle = len(content) // 2
        content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    asked = None if world.on("no-range") else _RANGE.fullmatch(request.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    headers = {"Content-Type": "application/octet-stream"}
    if start and start >= len(content):
        return make_response("", 416, {**headers, "Content-Range": f"bytes */{len(content)}"})
    if asked:
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    rest = content[start:]
    response = make_response(rest, 206 if asked else 200, headers)
    if world.on("cut-download") and len(rest) > _CUT_AFTER:
        response.set_data(rest[:_CUT_AFTER])
        response.headers["Content-Length"] = str(len(rest))
        response.headers["Connection"] = "close"
    return response
