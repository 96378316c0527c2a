"""Who holds something, and whether that process is still there."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

__all__ = ["is_gone", "this_process", "this_server"]


def this_process() -> str:
    """Return this process's name in the store: host, process id, and what tells it from its successors."""
    return _named(os.getpid())


def this_server() -> str:
    """Return the name of this machine or container."""
    return platform.node() or "localhost"


def is_gone(owner: str) -> bool:
    """Return whether a process is known to have ended; False if this machine cannot know."""
    host, pid, started = [*owner.rsplit(" ", 2), "", ""][:3]
    # Windows has no harmless way to ask: os.kill(pid, 0) would be Ctrl-C.
    if host != _host() or not pid.isdecimal() or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    present = _started(int(pid))
    return present is not None and (present == "dead" or started not in ("-", present))


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
