"""Who holds something, and whether that process is still there."""

from __future__ import annotations

import os
import platform
import re
import weakref
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

__all__ = ["after_fork", "claim_name", "is_gone", "this_process", "this_server"]

_AFTER_FORK: set[weakref.WeakMethod[Callable[[], None]]] = set()


def this_process() -> str:
    """Return this process's name in the store: host, process id, and what tells it from its successors."""
    return _named(os.getpid())


def claim_name() -> str:
    """Return a name for one of the things that this process holds."""
    return f"{this_process()} {os.urandom(8).hex()}"


def this_server() -> str:
    """Return the name of this machine or container."""
    return platform.node() or "localhost"


def is_gone(owner: str) -> bool:
    """Return whether the process of a name is known to have ended; False if this machine cannot know."""
    named = re.fullmatch(r"(.*?) ([0-9]+) ([0-9]+|-)( [0-9a-f]{16})?", owner)
    # Windows has no harmless way to ask: os.kill(pid, 0) would be Ctrl-C.
    if named is None or named[1] != _host() or os.name != "posix":
        return False
    pid, started = named[2], named[3]
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    present = _started(int(pid))
    return present is not None and (present == "dead" or started not in ("-", present))


def after_fork(method: Callable[[], None]) -> None:
    """Have a method called in each forked child, for as long as its object is there."""
    _AFTER_FORK.add(weakref.WeakMethod(method, _AFTER_FORK.discard))


@lru_cache(maxsize=2)
def _named(pid: int) -> str:
    return f"{_host()} {pid} {_started(pid) or '-'}"


@lru_cache(maxsize=1)
def _host() -> str:
    """Return the machine, as far as process ids mean the same on it: host name, boot, pid namespace."""
    boot = _read("/proc/sys/kernel/random/boot_id")[:8]
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return "/".join(
        filter(None, (platform.node() or "localhost", boot, "".join(filter(str.isdigit, namespace))))
    )


def _started(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; "dead" for one nobody has waited for yet."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20:
        return None
    return "dead" if fields[0] in "ZX" else fields[19]


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def _call_after_fork() -> None:
    for reference in list(_AFTER_FORK):
        if method := reference():
            method()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_call_after_fork)
