"""The library call in progress: its operation, practice and actor, and the observers of its requests."""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from connector.clock import Clock, clock_skew
from connector.errors import SettingError
from connector.observers import Call, Observers
from connector.redact import forget_locals

__all__ = [
    "Scope",
    "checked",
    "current_actor",
    "each_in_scope",
    "facts_of_call",
    "for_practice",
    "in_scope",
    "operation",
    "outside",
    "record_call",
    "require_text",
]

# Without it, a program that sets up no logging would get bare lines on stderr.
logging.getLogger("connector").addHandler(logging.NullHandler())

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Scoped")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """One library call.

    Attributes:
        operation: its name.
        practice_id: the practice it is for, or None.
        observers: called with each request it makes.
        actor: the actor for the audit record; "" for the connector's own.
    """

    operation: str
    practice_id: str | None
    observers: Observers[Call]
    actor: str = ""


# Characters that not every database accepts in a text: NUL, and half of a surrogate pair.
_NEVER_STORED = re.compile("[\0\ud800-\udfff]")


@dataclass(slots=True)
class _Running:
    """A library call in progress.

    Attributes:
        scope: its operation, practice, observers and actor.
        began: its start on the monotonic clock, in seconds.
        status: the HTTP status of the provider's last response, or None if there was none.
    """

    scope: Scope
    began: float = field(default_factory=time.monotonic)
    status: int | None = None


_RUNNING: ContextVar[_Running | None] = ContextVar("connector_scope", default=None)


@contextmanager
def in_scope(scope: Scope) -> Iterator[None]:
    """Attribute the block to a library call; if calls are nested, the outermost one counts.

    The local variables of this library and of the libraries below are cleared from an error that leaves the
    block: reporters such as Sentry collect them, and they may contain a code, a token or a password.
    """
    if _RUNNING.get() is not None:
        yield
        return
    token = _RUNNING.set(_Running(scope))
    try:
        yield
    except BaseException as error:
        forget_locals(error)
        raise
    finally:
        _RUNNING.reset(token)


@contextmanager
def for_practice(practice_id: str) -> Iterator[None]:
    """Attribute the block to one practice, within a library call that handles many."""
    running = _RUNNING.get()
    token = _RUNNING.set(running and _Running(replace(running.scope, practice_id=practice_id)))
    try:
        yield
    finally:
        _RUNNING.reset(token)


def outside(callback: Callable[P, R]) -> Callable[P, R]:
    """Wrap a caller's callback: its library calls count as its own, not as part of the current call."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _RUNNING.set(None)
        try:
            return callback(*args, **kwargs)
        finally:
            _RUNNING.reset(token)

    return call


def current_actor() -> str:
    """Return the actor of this library call, or "" if it is the connector's own actor."""
    running = _RUNNING.get()
    return "" if running is None else running.scope.actor


def facts_of_call() -> dict[str, str]:
    """Return the seconds since this library call began, and the HTTP status of the last response, as text."""
    running = _RUNNING.get()
    if running is None:
        return {}
    facts = {"seconds": f"{time.monotonic() - running.began:.3f}"}
    return facts if running.status is None else {**facts, "provider_status": str(running.status)}


def record_call(*, host: str, status: int | None, outcome: str, seconds: float, date: str | None) -> None:
    """Call the observers of the current library call with a request; `date` is the response's Date header."""
    running = _RUNNING.get()
    if running is None:
        return
    running.status = status
    scope = running.scope
    if scope.observers.callbacks:
        scope.observers.tell(
            Call(
                operation=scope.operation,
                practice_id=scope.practice_id,
                host=host,
                status=status,
                outcome=outcome,
                seconds=seconds,
                clock_skew=clock_skew(date, Clock.time()),
            )
        )


class Scoped(Protocol):
    """An object that makes library calls for a connector."""

    def scope(self, name: str, practice_id: str | None, /) -> Scope:
        """Return the scope of a library call."""


def checked(method: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """Make a method refuse a value that is not text for a parameter that takes text, before it runs.

    Raises:
        connector.errors.SettingError: a value is not text; the message names the argument.
    """
    code, types = method.__code__, method.__annotations__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    texts = {name for name in names if types.get(name) in ("str", "str | None")}

    @functools.wraps(method)
    def call(self: T, /, *args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in (*zip(names, args, strict=False), *kwargs.items()):
            if name in texts and not (value is None and types[name] == "str | None"):
                require_text(name, value)
        return method(self, *args, **kwargs)

    return call


def require_text(name: str, value: object) -> None:
    """Refuse a value that is not text that every database can store.

    Raises:
        connector.errors.SettingError: it is not; the message names it.
    """
    # Pasted text may contain anything; the parser checks it.
    if isinstance(value, str) and (name == "redirect_url" or not _NEVER_STORED.search(value)):
        return
    raise SettingError(f"{name} is not a text that can be stored", hint="Pass a str of visible characters.")


def operation(name: str) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Make a method one library call: its events name the actor, and observers see its requests.

    Args:
        name: of the library call. It is for the practice that the argument `practice_id` names: the first
            argument, or one that is passed by its name.
    """

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        is_first = method.__code__.co_varnames[1:2] == ("practice_id",)
        method = checked(method)

        @functools.wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            practice_id = args[0] if args and is_first else kwargs.get("practice_id")
            try:
                with in_scope(self.scope(name, practice_id if isinstance(practice_id, str) else None)):
                    return method(self, *args, **kwargs)
            finally:
                del args, kwargs  # see `forget_locals`

        return call

    return decorate


def each_in_scope(scope: Scope, items: Iterator[T]) -> Iterator[T]:
    """Yield items, each made within a scope; the scope does not apply to the caller's code in between."""
    while True:
        with in_scope(scope):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
