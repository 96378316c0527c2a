"""A folder and a user for one browser.

The folder is removed afterwards: at once, or at the next start if its process was killed. Chromium's own
sandbox is always on, unless a setting says otherwise in so many words; root starts it as another user.
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from connector.browser.installed import Browser
from connector.clock import Clock
from connector.errors import BrowserUnavailableError

__all__ = ["is_root", "is_sandbox_off", "sandboxed", "sweep_leftovers", "temporary_folder"]

_PREFIX = "ormco-browser-"
_LOCK = "owner.lock"
# systemd gives such numbers to services for as long as they run; no person and no file has one.
_TRANSIENT_USERS = range(61184, 65520)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a private folder (0700), and remove it with all that is in it.

    Folders that earlier, killed processes left behind are removed first.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no room for one.
    """
    sweep_leftovers()
    try:
        folder, lock = _make_locked()
    except OSError as exc:
        raise BrowserUnavailableError(
            f"no folder for the browser can be made in {tempfile.gettempdir()}: {exc.strerror}",
            hint="Make room there, or set TMPDIR (on Windows: TEMP) to another folder.",
        ) from None
    try:
        yield folder
    finally:
        _clear(folder)
        with suppress(OSError):
            lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def sweep_leftovers() -> None:
    """Remove the folders whose process is dead.

    A living process holds a lock on a file in its folder; the system frees it with the process, however
    that ended. A process id would not do: it is given to another process sooner or later.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, Timeout):
            if _is_ours(folder):
                with FileLock(folder / _LOCK, timeout=0):
                    _clear(folder)
                shutil.rmtree(folder, ignore_errors=True)


def _make_locked() -> tuple[Path, FileLock]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = FileLock(folder / _LOCK, timeout=0, thread_local=False)
        # A sweep in another process may be at the folder before its lock is; then it goes to that one.
        with suppress(FileNotFoundError, Timeout):
            lock.acquire()
            if (folder / _LOCK).exists():
                return folder, lock


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return mine and folder.is_dir() and not folder.is_symlink()


def _clear(folder: Path) -> None:
    """Remove all but the lock, which goes last; wait for what a dying browser still writes."""
    deadline = Clock().deadline(3)
    while left := _entries(folder):
        for entry in left:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with suppress(OSError):
                    entry.unlink()
        if not _entries(folder) or not deadline.pause(0.05):
            return


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [entry for entry in folder.iterdir() if entry.name != _LOCK]
    return []


def is_sandbox_off() -> bool:
    """Return whether `ORMCO_BROWSER_SANDBOX=off` is set."""
    return os.environ.get("ORMCO_BROWSER_SANDBOX", "").strip().lower() == "off"


def is_root() -> bool:
    """Return whether this is the user root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def sandboxed(browser: Browser, folder: Path) -> str:
    """Return the program to start so that the browser can use its sandbox.

    Chromium refuses its sandbox to root. So root starts it as a user that nobody else is, which is safer than
    both ways that are left: without a sandbox, or with root's rights.

    Args:
        browser: from `find_browser`.
        folder: the browser's own; that user gets what is in it.

    Raises:
        connector.errors.BrowserUnavailableError: if this is root and there is no way to be somebody else.
    """
    if not is_root() or is_sandbox_off():
        return browser.path
    setpriv = shutil.which("setpriv")
    closed = [*_closed(Path(browser.path).resolve()), *_closed(folder)]
    if setpriv is None or closed:
        why = f": {closed[0]} is closed to all but root" if closed else ""
        raise BrowserUnavailableError(
            f"root can start {browser.name} only as another user{why}",
            hint="Run the program as another user; or use a browser and a TMPDIR that others may enter; or,"
            " in a container that nothing else runs in, set ORMCO_BROWSER_SANDBOX=off: then a page that"
            " breaks out of the browser can do what root can.",
        )
    user = str(random.SystemRandom().choice(_TRANSIENT_USERS))
    command = [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", browser.path]
    program = folder / "browser"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    _give(folder, int(user))
    return str(program)


def _closed(path: Path) -> list[Path]:
    """Return the folders above that only their owner may enter."""
    return [folder for folder in path.parents if not folder.stat().st_mode & 0o001]


def _give(folder: Path, user: int) -> None:
    """Let the user in, and give it the folders inside; the folder itself, lock and program stay root's."""
    folder.chmod(0o711)
    for entry in [each for each in folder.iterdir() if each.is_dir()]:
        for each in (entry, *entry.rglob("*")):
            os.chown(each, user, user)
            each.chmod(0o700 if each.is_dir() else 0o600)
