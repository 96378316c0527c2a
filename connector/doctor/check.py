"""One check of the doctor: its name, its result, and the cure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from connector.errors import ConnectorError, SettingError

__all__ = ["Check", "Result", "clock_check", "failed", "fine", "start", "warning"]

_T = TypeVar("_T")
_SKEW_FELT, _SKEW_FATAL = 30.0, 300.0  # seconds


class Result(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The outcome of a check; it never contains a secret.

    Attributes:
        name: the name of the check.
        result: ok, warning or failed.
        detail: the finding, in words.
        cure: the remedy, with its command; empty if there is nothing to do.
        error: the error that an operation would raise for this finding, or None; the class of a failed
            check's error decides the exit status.
    """

    name: str
    result: Result
    detail: str
    cure: str = ""
    error: ConnectorError | None = field(default=None, repr=False)


def fine(name: str, detail: str) -> Check:
    """Return a check that found no problem."""
    return Check(name=name, result=Result.OK, detail=detail)


def warning(name: str, detail: str, cure: str, *, error: ConnectorError | None = None) -> Check:
    """Return a check that found something that needs attention."""
    return Check(name=name, result=Result.WARNING, detail=detail, cure=cure, error=error)


def failed(name: str, error: ConnectorError) -> Check:
    """Return a check that failed, from the error that an operation would raise."""
    return Check(name=name, result=Result.FAILED, detail=error.message, cure=error.hint, error=error)


def clock_check(name: str, skew: float, whose: str) -> Check:
    """Return the check of a difference between two clocks.

    Args:
        name: the name of the check.
        skew: seconds by which this machine's clock is ahead.
        whose: the other clock, such as "the provider's".
    """
    words = f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {whose}"
    cure = "Set the clocks, and synchronize them with a time server (NTP)."
    if abs(skew) >= _SKEW_FATAL:
        return failed(name, SettingError(words, hint=cure))
    if abs(skew) >= _SKEW_FELT:
        return warning(name, words, cure)
    return fine(name, f"this machine's clock and {whose} agree")


def start(work: Callable[[], _T]) -> Future[_T]:
    """Run work in a daemon thread; nothing has to wait for it, not even the exit of the program."""
    result: Future[_T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as exc:
            result.set_exception(exc)

    threading.Thread(target=run, name="ormco-doctor", daemon=True).start()
    return result
