"""Clear this library's local variables from the frames of an error's traceback."""

from __future__ import annotations

from contextlib import suppress
from traceback import walk_tb
from types import FrameType

__all__ = ["forget_locals"]

# The outside libraries that are called with secrets, or with objects that contain secrets.
_OURS = {
    "connector",
    "http",
    "oauthlib",
    "psycopg",
    "psycopg_pool",
    "requests",
    "requests_oauthlib",
    "urllib3",
}
_GENERATOR = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR; `inspect` is slow to load


def forget_locals(error: BaseException | None) -> None:
    """Clear the local variables of frames that an error has left, also of its causes."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        waiting += [error.__cause__, error.__context__]
        for frame, _ in walk_tb(error.__traceback__):
            # A generator may go on: an error that it raised before may be the context of a later one.
            if _is_ours(frame) and not frame.f_code.co_flags & _GENERATOR:
                with suppress(RuntimeError):  # it is still running
                    frame.clear()


def _is_ours(frame: FrameType) -> bool:
    """Return whether a frame is this library's or of one that it calls, and no caller's callback."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS
