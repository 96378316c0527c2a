"""Playwright objects that can be used from any thread: each call is made in the thread they belong to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["expect_takes_remotes", "remote"]

# pytest then shows the test's own line, and no arguments of ours, such as a password.
__tracebackhide__ = True

Run = Callable[[Callable[[], Any]], Any]


def remote(find: Callable[[], Any], run: Run) -> Any:
    """Return what stands for a Playwright object of another thread; a plain value comes as it is.

    Args:
        find: gives the object; called in its own thread.
        run: runs a function in that thread and returns what it returned.
    """
    return _wrapped(run(find), run)


class _Remote:
    """Stands for a Playwright object: same names, same results, `isinstance` included.

    Functions that are handed over, such as handlers of events, are called in the object's own thread.
    """

    def __init__(self, target: Any, run: Run) -> None:
        self.__dict__.update(_target=target, _run=run)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_impl_obj":
            raise AttributeError(name)
        return remote(lambda: getattr(self._target, name), self._run)

    def __enter__(self) -> Any:
        return remote(self._target.__enter__, self._run)

    def __exit__(self, *exc: object) -> Any:
        return self._run(lambda: self._target.__exit__(*exc))

    def __eq__(self, other: object) -> bool:
        return bool(self._target == _unwrapped(other))

    def __hash__(self) -> int:
        return hash(self._target)

    def __repr__(self) -> str:
        # Not the object's own: a page's has its address in it.
        return f"<{type(self._target).__name__} of the consent's browser>"


@contextmanager
def expect_takes_remotes() -> Iterator[None]:
    """Let Playwright's `expect(…)` take the objects of this module, which wait in another thread."""
    from playwright.sync_api import expect

    kind: Any = type(expect)
    original = kind.__call__

    def call(self: Any, actual: Any, *args: Any, **kwargs: Any) -> Any:
        if type(actual) is not _Remote:
            return original(self, actual, *args, **kwargs)
        target, run = actual._target, actual._run
        return remote(lambda: original(self, target, *args, **kwargs), run)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original


def _wrapped(value: Any, run: Run) -> Any:
    if inspect.ismethod(value):
        return _method(value, run)
    if isinstance(value, list | tuple):
        return type(value)([_wrapped(each, run) for each in value])
    if isinstance(value, dict):
        return {key: _wrapped(each, run) for key, each in value.items()}
    if type(value).__module__.startswith("playwright.") and not isinstance(value, BaseException):
        return _Remote(value, run)
    return value


def _method(method: Callable[..., Any], run: Run) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return remote(lambda: method(*_unwrapped(list(args)), **_unwrapped(kwargs)), run)

    return call


def _unwrapped(value: Any) -> Any:
    if type(value) is _Remote:
        return value._target
    if isinstance(value, list):
        return [_unwrapped(each) for each in value]
    if isinstance(value, dict):
        return {key: _unwrapped(each) for key, each in value.items()}
    return value
