"""`AsyncConnector`: the same calls, awaited, without blocking the event loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connector import AsyncConnector, Call, Config, Connector, WatchPlan
from connector.aio import AsyncCases, AsyncLab
from connector.async_threads import Threads
from connector.communicate.cases import Cases
from connector.communicate.lab import OrmcoLab
from connector.errors import ConnectionNotFoundError, ConsentRequiredError, StoreUnavailableError
from tests.support.cases import Workflow
from tests.support.connecting import connect, opened, settings
from tests.support.forks import fork
from tests.support.frames import secrets_in_frames
from tests.support.sandbox import RunningSandbox

PRACTICE = "practice-42"
# Calls that need no thread, or have another name in `AsyncConnector`.
NOT_MIRRORED = {"close", "session", "scope", "token_origins"}
LONG_AGO = datetime.now(UTC) - timedelta(days=1)


@asynccontextmanager
async def connected(sandbox: RunningSandbox, store_url: str, **options: Any) -> AsyncIterator[AsyncConnector]:
    """An awaited connector with one connected practice."""
    config = Config.from_env(settings(sandbox, store_url))
    with Connector.from_config(config) as connector:
        connect(connector, sandbox, PRACTICE)
    async with AsyncConnector.from_config(config, **options) as connector:
        yield connector


def slow(sandbox: RunningSandbox, seconds: int) -> None:
    """Delay the provider's responses from now on."""
    sandbox.control(scenarios=["slow"], slow_seconds=seconds)


def public(of: type) -> set[str]:
    return {name for name in vars(of) if not name.startswith("_")} - {"from_config"}


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("ormco-async")}


async def until(is_true: Callable[[], bool]) -> None:
    while not is_true():
        await asyncio.sleep(0.01)


@contextmanager
def held_up(connector: AsyncConnector) -> Iterator[Callable[[], bool]]:
    """Hold up all requests until the block ends; yield a function that says whether one is held up."""
    reached, release = threading.Event(), threading.Event()

    def hold(call: Call) -> None:
        reached.set()
        release.wait()

    end = connector.on_call(hold)
    try:
        yield reached.is_set
    finally:
        release.set()
        end()


async def ticks_during(work: Awaitable[object]) -> tuple[int, float]:
    """How often a ticker ticked while something was awaited, and the longest time between two."""
    loop, times = asyncio.get_running_loop(), list[float]()
    task = asyncio.ensure_future(work)
    while not task.done():
        times.append(loop.time())
        await asyncio.sleep(0.01)
    await task
    return len(times), max((b - a for a, b in pairwise(times)), default=0.0)


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


# --- the calls


@pytest.mark.parametrize(
    ("awaited", "called"), [(AsyncConnector, Connector), (AsyncCases, Cases), (AsyncLab, OrmcoLab)]
)
def test_every_call_can_be_awaited(awaited: type, called: type) -> None:
    """Every call of `Connector` has its asynchronous counterpart."""
    assert public(called) - NOT_MIRRORED - {"close"} <= public(awaited)


def test_arguments_and_documentation_are_the_same() -> None:
    """Both classes have the same methods, arguments and docstrings."""
    for name in public(Connector) & public(AsyncConnector) - {"lab", "cases", "httpx_auth"}:
        awaited, called = getattr(AsyncConnector, name), getattr(Connector, name)
        assert list(inspect.signature(awaited).parameters) == list(inspect.signature(called).parameters), name
        assert awaited.__doc__
    assert AsyncConnector.begin.__doc__ == Connector.begin.__doc__


@awaited
async def test_life_of_a_connection(identity: RunningSandbox, store_url: str) -> None:
    """Begin, complete, read, refresh and forget a connection."""
    config = Config.from_env(settings(identity, store_url))
    async with AsyncConnector.from_config(config, actor="a job") as connector:
        request = await connector.begin(PRACTICE, binding="session")
        response = await asyncio.to_thread(identity.authorize, request.url)
        assert (await connector.complete(response, binding="session")).state == "connected"
        before = await connector.token(PRACTICE)
        await connector.refresh(PRACTICE, force=True)
        assert await connector.access_token(PRACTICE) != before.value
        assert [one.practice_id async for one in connector.connections()] == [PRACTICE]
        assert [check.result async for check in connector.doctor(only={"store"})]
        await connector.acting_as("alex").forget(PRACTICE)
        assert {event.actor for event in await connector.events()} == {"a job", "alex"}
        with pytest.raises(ConnectionNotFoundError):
            await connector.status(PRACTICE)


@awaited
async def test_errors_reach_the_awaiting_caller(classic: RunningSandbox, store_url: str) -> None:
    """They are those of the synchronous call."""
    async with connected(classic, store_url) as connector:
        with pytest.raises(ConsentRequiredError):
            await connector.revoke(PRACTICE, interactive=False)
        with pytest.raises(ConnectionNotFoundError):
            await connector.access_token("nobody")


# --- the event loop


@awaited
async def test_slow_refresh_does_not_block_the_loop(identity: RunningSandbox, store_url: str) -> None:
    """A ticker ticks on while a handler waits for a slow provider."""
    async with connected(identity, store_url) as connector:
        slow(identity, 3)
        ticks, longest = await ticks_during(connector.refresh(PRACTICE, force=True))
        identity.set_scenarios()
        assert ticks > 30
        assert longest < 2


@awaited
async def test_discovery_does_not_block_the_loop(identity: RunningSandbox, store_url: str) -> None:
    """A call that needs no thread does not wait for the provider, either."""
    async with connected(identity, store_url) as connector:
        with held_up(connector) as is_held_up:
            work = asyncio.ensure_future(connector.begin("another"))
            await until(is_held_up)
            connector.subscribe(lambda event: None)()
            connector.acting_as("alex").httpx_auth(PRACTICE)
            assert not work.done()
        await work


LOADED_IN_THE_LOOP = """
import asyncio, sys
import httpx
from connector import AsyncConnector, Config

async def main(store):
    async with AsyncConnector.from_config(Config.from_env({"ORMCO_STORE": store})) as connector:
        before = set(sys.modules)
        connector.subscribe(print)
        connector.on_call(print)
        connector.acting_as("alex").httpx_auth("practice-42")
        print(*{name for name in set(sys.modules) - before if name != "connector.httpx_auth"})

for store in ("sqlite:///unused.db", "postgresql://127.0.0.1:1/unused"):
    asyncio.run(main(store))
"""


def test_loop_imports_nothing_heavy(tmp_path: Path) -> None:
    """A call on the event loop loads no database driver, which takes a tenth of a second."""
    command = [sys.executable, "-c", LOADED_IN_THE_LOOP]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
    assert list(tmp_path.iterdir()) == []


@awaited
async def test_token_in_memory_uses_no_thread(identity: RunningSandbox, store_url: str) -> None:
    """It is handed out in the loop itself, to any number of callers."""
    async with connected(identity, store_url, threads=1) as connector:
        first = await connector.access_token(PRACTICE)
        with held_up(connector):
            busy = asyncio.ensure_future(connector.refresh(PRACTICE, force=True))
            await asyncio.sleep(0.1)
            assert await connector.access_token(PRACTICE, min_ttl=0) == first
            assert connector.cached_token(PRACTICE) is not None
            assert not busy.done()
        await busy


@awaited
async def test_500_callers_make_one_token_call_in_one_thread(
    identity: RunningSandbox, store_url: str
) -> None:
    """A slow practice uses up neither the provider nor the pool."""
    async with connected(identity, store_url) as connector:
        rejected = await connector.access_token(PRACTICE)
        before = threads()
        slow(identity, 1)
        callers = [connector.access_token(PRACTICE, rejected=rejected) for _ in range(500)]
        found = asyncio.ensure_future(asyncio.gather(*callers))
        await asyncio.sleep(0.5)
        assert len(threads() - before) <= 1
        assert len(set(await found)) == 1
    assert identity.counters()["token:refresh_token"] == 1


@awaited
async def test_cancelled_caller_loses_no_grant(identity: RunningSandbox, store_url: str) -> None:
    """It ends at once, other callers that wait for the same token get it, and it is stored."""
    async with connected(identity, store_url) as connector:
        rejected = await connector.access_token(PRACTICE)
        slow(identity, 2)
        one, other = (
            asyncio.create_task(connector.access_token(PRACTICE, rejected=rejected)) for _ in range(2)
        )
        await asyncio.sleep(0.5)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        assert not other.done()
        renewed = await other
        identity.set_scenarios()
        assert renewed == await connector.access_token(PRACTICE, rejected=rejected) != rejected
    assert identity.counters()["token:refresh_token"] == 1


@awaited
async def test_close_waits_for_calls_in_progress(identity: RunningSandbox, store_url: str) -> None:
    """A shutdown in the middle of a token call stores what it brings."""
    async with connected(identity, store_url) as connector:
        slow(identity, 1)
        work = asyncio.create_task(connector.refresh(PRACTICE, force=True))
        await asyncio.sleep(0.3)
    assert (await work).state == "connected"
    identity.set_scenarios()
    with opened(settings(identity, store_url)) as again:
        again.refresh(PRACTICE, force=True)


def test_loop_that_ends_loses_no_grant(identity: RunningSandbox, store_url: str) -> None:
    """A program whose loop is gone while a token call is out keeps what it brings."""
    connector = opened(settings(identity, store_url))
    connect(connector, identity, PRACTICE)
    slow(identity, 1)

    async def leave() -> None:
        awaited = AsyncConnector(connector)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(awaited.refresh(PRACTICE, force=True), 0.3)

    asyncio.run(leave())
    identity.set_scenarios()
    connector.refresh(PRACTICE, force=True)
    connector.close()


def test_forked_worker_makes_its_own_threads(identity: RunningSandbox, store_url: str) -> None:
    """A server that loads the application before it forks has workers that work."""
    connector = opened(settings(identity, store_url))
    connect(connector, identity, PRACTICE)
    awaited = AsyncConnector(connector)
    asyncio.run(awaited.status(PRACTICE))
    assert fork(lambda: asyncio.run(awaited.refresh(PRACTICE, force=True)))() == 0
    asyncio.run(awaited.aclose())


# --- iterating and watching


@awaited
async def test_iteration_that_is_left_early_is_closed(identity: RunningSandbox, store_url: str) -> None:
    """An iteration that is left early ends without a wait, and the next calls work."""
    async with connected(identity, store_url) as connector:
        async with aclosing(connector.doctor()) as checks:  # type: ignore[type-var]
            async for check in checks:
                assert check.name
                break
        assert (await connector.status(PRACTICE)).state == "connected"


def test_iteration_that_is_cancelled_ends() -> None:
    """Cancelled while a thread is at a step, it ends at once, and is closed when the thread is done."""
    reached, release, closed = threading.Event(), threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        try:
            reached.set()
            release.wait()
            yield 1
        finally:
            closed.set()

    async def first(pool: Threads) -> int:
        return await anext(pool.iterate(items, page=1))

    async def cancel() -> None:
        pool = Threads(1)
        task = asyncio.create_task(first(pool))
        await until(reached.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        await until(closed.is_set)
        await pool.close()

    asyncio.run(cancel())


def test_files_of_a_case_one_by_one(classic: RunningSandbox, store_url: str, tmp_path: Path) -> None:
    """`async for` over a download."""
    (case_id,) = Workflow(classic).send()

    async def download() -> list[str]:
        async with connected(classic, store_url) as connector:
            assert [one.case.id for one in await connector.cases.list(PRACTICE)] == [case_id]
            files = connector.cases.download(PRACTICE, case_id, tmp_path / "out")
            return [file.file.kind async for file in files]

    assert asyncio.run(download()) == ["scan", "scan", "attachment", "attachment"]


def test_watch_awaits_its_handler_and_ends_when_cancelled(classic: RunningSandbox, store_url: str) -> None:
    """Events come in this loop; a handler that hangs is cancelled with the watch."""
    Workflow(classic).send()
    seen: list[str] = []

    async def handle(event: Any) -> None:
        seen.append(event.event)
        await asyncio.sleep(1e6)

    async def watch() -> None:
        async with connected(classic, store_url) as connector:
            task = asyncio.create_task(connector.cases.watch(None, handle, plan=WatchPlan(since=LONG_AGO)))
            await until(lambda: bool(seen))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(watch())
    assert seen == ["case_sent"]


def test_close_ends_a_watch(classic: RunningSandbox, store_url: str) -> None:
    """An application that shuts down leaves no watch running on a closed store."""

    async def shut_down() -> None:
        async with connected(classic, store_url) as connector:
            task = asyncio.create_task(connector.cases.watch(None, handle))
            await asyncio.sleep(0.5)
        await task

    async def handle(event: Any) -> None:
        pass

    asyncio.run(shut_down())


@pytest.mark.parametrize("call", ["status", "token", "access_token"])
@awaited
async def test_a_call_after_aclose_is_an_error_of_ours(
    classic: RunningSandbox, store_url: str, call: str
) -> None:
    """A call after `aclose`, or a second `aclose`, raises no error of the thread pool's."""
    connector = AsyncConnector.from_config(Config.from_env(settings(classic, store_url)))
    await connector.aclose()
    await connector.aclose()
    with pytest.raises(StoreUnavailableError, match="was closed"):
        await getattr(connector, call)("practice-42")


def test_refused_token_is_in_no_log_and_no_frame(
    classic: RunningSandbox, store_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Asyncio's debug mode logs what callbacks are called with, reporters collect local variables."""

    async def use() -> list[BaseException]:
        asyncio.get_running_loop().slow_callback_duration = 0.0  # log each
        async with connected(classic, store_url) as connector:
            calls = [
                asyncio.create_task(call("unknown", rejected="AT-made-up"))
                for call in (connector.token, connector.access_token)
            ]
            await asyncio.sleep(0)
            caplog.records.append(logging.makeLogRecord({"msg": repr(asyncio.all_tasks())}))
            return [error for error in await asyncio.gather(*calls, return_exceptions=True)]  # type: ignore[misc]

    errors = asyncio.run(use(), debug=True)
    assert [type(error) for error in errors] == [ConnectionNotFoundError] * 2
    assert [found for error in errors for found in secrets_in_frames(error, "AT-made-up")] == []
    assert "AT-made-up" not in caplog.text + "".join(record.getMessage() for record in caplog.records)


def test_cancelled_call_keeps_no_code_in_its_traceback(classic: RunningSandbox, store_url: str) -> None:
    """A cancellation has a traceback, too."""

    async def use() -> None:
        async with connected(classic, store_url) as connector:
            call = asyncio.create_task(connector.complete("https://ormco.com/?code=made-up-code"))
            await asyncio.sleep(0)
            call.cancel()
            await call

    with pytest.raises(asyncio.CancelledError) as caught:
        asyncio.run(use())
    assert secrets_in_frames(caught.value, "made-up-code") == []
