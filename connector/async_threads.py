"""Await a synchronous object: each call runs in one of a bounded number of threads."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import Any, Concatenate, ParamSpec, TypeVar

from connector.errors import StoreUnavailableError

__all__ = ["Awaited", "Threads", "awaited", "drop_result", "iterated"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Threads:
    """A bounded pool of threads for the calls of one connector, and separate threads for endless calls."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._endless: dict[asyncio.Future[Any], Callable[[], object]] = {}
        self._is_closed = False
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(self._limit, thread_name_prefix="ormco-async")

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call in a thread, in the caller's context.

        A caller that is cancelled stops waiting immediately. The call continues, so that the response to a
        token call that was sent is always stored.
        """
        return await asyncio.shield(self._submit(call))

    def _submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        if self._process != os.getpid():  # a forked child has none of its parent's threads
            self._start()
        context = copy_context()
        if self._is_closed:  # the pool would raise its own error
            raise StoreUnavailableError("this connector was closed", hint="Create a new one.")
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: context.run(call))
        future.add_done_callback(drop_result)
        return future

    async def iterate(self, make: Callable[[], Iterable[T]], *, page: int) -> AsyncIterator[T]:
        """Iterate in threads, `page` items per switch of threads."""
        iterator = iter(await self.run(make))
        step: asyncio.Future[list[T]] | None = None
        try:
            while True:
                step = self._submit(lambda: list(islice(iterator, page)))
                items = await asyncio.shield(step)
                if not items:
                    return
                for item in items:
                    yield item
        finally:
            close = getattr(iterator, "close", lambda: None)
            if step is None or step.done():
                await self.run(close)
            else:  # cancelled: a thread is still in the iterator
                step.add_done_callback(lambda done: self._submit(close))

    async def run_endless(self, call: Callable[[], T], *, stop: Callable[[], object]) -> T:
        """Run a call without a foreseeable end in its own thread.

        `stop` ends it; it is called if the caller is cancelled, or the pool closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        future.add_done_callback(drop_result)
        context = copy_context()

        def settle(method: Callable[[Any], None], value: object) -> None:
            if not future.done():
                method(value)

        def run() -> None:
            try:
                result = context.run(call)
            except Exception as error:
                outcome = functools.partial(settle, future.set_exception, error)
            else:
                outcome = functools.partial(settle, future.set_result, result)
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(outcome)

        threading.Thread(target=run, name="ormco-watch", daemon=True).start()
        self._endless[future] = stop
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop()
            await asyncio.wait([future])
            raise
        finally:
            del self._endless[future]

    async def close(self) -> None:
        """End the endless calls, and wait for all calls in progress."""
        for stop in self._endless.values():
            stop()
        if self._endless:
            await asyncio.wait(list(self._endless))
        pool, self._is_closed = self._pool, True
        await asyncio.get_running_loop().run_in_executor(None, pool.shutdown)


def drop_result(future: asyncio.Future[Any]) -> None:
    """Retrieve an error, so that asyncio does not warn that it was never retrieved."""
    if not future.cancelled():
        future.exception()


class Awaited:
    """Base class: a synchronous object, and the threads in which its methods run."""

    _threads: Threads
    _target: Any


def awaited(
    method: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return the awaited form of a method: the same name, arguments, documentation and errors."""

    @functools.wraps(method)
    async def call(self: Awaited, /, *args: P.args, **kwargs: P.kwargs) -> R:
        bound: Callable[P, R] = getattr(self._target, method.__name__)
        try:
            return await self._threads.run(lambda: bound(*args, **kwargs))
        except BaseException:
            del args, kwargs  # reporters collect local variables, and a code may be among them
            raise

    return call


def iterated(
    method: Callable[Concatenate[Any, P], Iterable[T]], *, page: int = 1
) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """Return the form of a method that is used with `async for`; a thread makes `page` items at a time."""

    @functools.wraps(method)
    def call(self: Awaited, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        bound: Callable[P, Iterable[T]] = getattr(self._target, method.__name__)
        return self._threads.iterate(lambda: bound(*args, **kwargs), page=page)

    return call
