"""The data of an error that a reporter of local variables, such as Sentry, would send."""

from __future__ import annotations

import traceback
from pathlib import Path

import psycopg
import requests
import urllib3

import connector

_LIBRARIES = tuple(
    str(Path(module.__file__ or "").parent) for module in (connector, psycopg, requests, urllib3)
)


def secrets_in_frames(error: BaseException | None, *secrets: str) -> list[str]:
    """Return the local variables of library frames, also of causes, that show one of these texts."""
    found, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename.startswith(_LIBRARIES):
                where = f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_qualname}"
                found += [f"{where}: {name} = {value!r}" for name, value in frame.f_locals.items()]
        error = error.__cause__ or error.__context__
    return [line for line in found if any(secret in line for secret in secrets)]
