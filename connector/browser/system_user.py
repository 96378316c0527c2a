"""The user that a browser runs as, and the browser's own sandbox.

Chromium's sandbox is always on, unless a setting explicitly turns it off; root starts it as another user.
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
from pathlib import Path

from connector.browser.installed import Browser
from connector.errors import BrowserUnavailableError

__all__ = ["is_root", "is_sandbox_off", "sandboxed"]

# systemd gives such ids to services while they run; no person and no file has one.
_TRANSIENT_USERS = range(61184, 65520)


def is_sandbox_off() -> bool:
    """Return whether `ORMCO_BROWSER_SANDBOX=off` is set."""
    return os.environ.get("ORMCO_BROWSER_SANDBOX", "").strip().lower() == "off"


def is_root() -> bool:
    """Return whether this is the user root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def sandboxed(browser: Browser, folder: Path) -> str:
    """Return the program to start so that the browser can use its sandbox.

    Chromium refuses its sandbox to root. So root starts it as an otherwise unused user, which is safer than a
    browser without a sandbox.

    Args:
        browser: from `find_browser`.
        folder: the browser's own folder; that user gets its content.

    Raises:
        connector.errors.BrowserUnavailableError: if this is root and the browser cannot run as another user.
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
    """Return the parent folders that only their owner may enter."""
    return [folder for folder in path.parents if not folder.stat().st_mode & 0o001]


def _give(folder: Path, user: int) -> None:
    """Let the user in, and give it the folders inside; the folder itself, lock and program stay root's."""
    folder.chmod(0o711)
    for entry in [each for each in folder.iterdir() if each.is_dir()]:
        for each in (entry, *entry.rglob("*")):
            os.chown(each, user, user)
            each.chmod(0o700 if each.is_dir() else 0o600)
