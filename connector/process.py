"""This process and its children: locks across a fork, and secrets kept out of children and core dumps."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Mapping
from typing import Protocol

__all__ = ["after_fork", "child_environment", "forbid_core_dumps", "hold_during_fork"]

# Variables for the program path, user, display, fonts, input methods and language.
_NAMES = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"}
    | {"BROWSER", "TERM"}
    | {"DBUS_SESSION_BUS_ADDRESS", "DESKTOP_SESSION", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"}
    | {"FONTCONFIG_FILE", "FONTCONFIG_PATH", "GDK_BACKEND", "GTK_IM_MODULE", "QT_IM_MODULE", "XMODIFIERS"}
    | {"ALLUSERSPROFILE", "APPDATA", "COMPUTERNAME", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "OS"}
    | {"NUMBER_OF_PROCESSORS", "PATHEXT", "PUBLIC", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERDOMAIN"}
    | {"USERNAME", "USERPROFILE", "WINDIR", "WSL_DISTRO_NAME", "WSL_INTEROP", "__CF_USER_TEXT_ENCODING"}
)
_FAMILIES = ("COMMONPROGRAM", "LC_", "PROCESSOR_", "PROGRAM", "XDG_")
_PROXIES = frozenset({"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})
_PR_SET_DUMPABLE = 4


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return only the environment variables that a child process needs, so that it inherits no secret.

    The list names allowed variables, because the names of all secrets cannot be known.
    """
    kept = {}
    for name, value in environment.items():
        if name.upper() in _NAMES or name.upper().startswith(_FAMILIES):
            kept[name] = value
        elif name.upper() in _PROXIES:
            kept[name] = _without_password(value)
    return kept


def forbid_core_dumps() -> None:
    """Keep this process's memory, which holds secrets, off the disk if it crashes.

    On Linux other programs of the same user cannot read its memory or its environment either. It is done as
    far as the system permits, and only for our own programs: a library does not change its caller's limits.
    """
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        import ctypes

        # The limit does not apply if the kernel pipes core dumps to a program, as with systemd.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _without_password(proxy: str) -> str:
    scheme, separator, rest = proxy.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


class Startable(Protocol):
    """An object whose locks and handles a forked child must not share."""

    def start_in_child(self) -> None:
        """Reset the object in a forked child, with new locks and handles."""


_AFTER_FORK: weakref.WeakSet[Startable] = weakref.WeakSet()
_HOLD_DURING_FORK: set[weakref.ref[threading.Lock]] = set()
_HELD: dict[int, list[threading.Lock]] = {}  # by the thread that forks
# A lock that is not released within this time is held by the forking thread itself.
_HOLD_WITHIN = 5.0


def after_fork(one: Startable) -> None:
    """Call `start_in_child` of an object in each forked child, for as long as the object exists."""
    _AFTER_FORK.add(one)


def hold_during_fork(lock: threading.Lock) -> None:
    """Make a fork wait for a lock, as long as the lock exists.

    If another thread has locked a file when the process forks, SQLite treats the file as locked in the child
    for as long as the child runs. The child's copy of the lock is never released: the child needs a new one.
    """
    _HOLD_DURING_FORK.add(weakref.ref(lock, _HOLD_DURING_FORK.discard))


def _hold_before_fork() -> None:
    locks = [lock for reference in list(_HOLD_DURING_FORK) if (lock := reference()) is not None]
    _HELD[threading.get_ident()] = [lock for lock in locks if lock.acquire(timeout=_HOLD_WITHIN)]


def _let_go_in_parent() -> None:
    for lock in _HELD.pop(threading.get_ident(), ()):
        lock.release()


def _start_in_child() -> None:
    _HELD.clear()
    _HOLD_DURING_FORK.clear()  # another thread of the parent may hold one, which is never released here
    for one in list(_AFTER_FORK):
        one.start_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_hold_before_fork, after_in_parent=_let_go_in_parent, after_in_child=_start_in_child
    )
