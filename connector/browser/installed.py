"""Find the Chromium browsers on this machine."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connector.errors import BrowserUnavailableError

__all__ = ["Browser", "find_browser", "home_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """An installed browser of the Chromium family.

    Attributes:
        name: the display name.
        path: the path of the program.
    """

    name: str
    path: str


def find_browser(setting: str | None = None, *, headless: bool = False) -> Browser:
    """Find the browser to use.

    The order: the setting; Playwright's own build; Chrome; Edge; Chromium. If `headless` is true, a build
    without windows ("headless shell") comes before the full build of the same origin. Snap packages are
    ignored: they cannot use a profile in the temporary folder.

    Args:
        setting: the path of a program (`ORMCO_BROWSER`), or its name.
        headless: whether a browser without a window is enough.

    Raises:
        connector.errors.BrowserUnavailableError: if there is no browser, or none at the configured path.
    """
    if setting:
        return _from_setting(setting)
    for name, path in _candidates(headless):
        if _is_program(path) and not _is_snap(path):
            return Browser(name=name, path=str(path))
    raise BrowserUnavailableError(
        "no Chrome, Edge or Chromium was found on this machine",
        hint="Install Google Chrome; or run: playwright install chromium; or on Debian: apt install chromium;"
        " or set ORMCO_BROWSER to the path of one; or connect without a browser, by a paste",
    )


def _from_setting(setting: str) -> Browser:
    path = home_folder() / setting[2:] if setting.startswith("~/") else Path(setting)
    if path.suffix == ".app" and path.is_dir():
        path = path / "Contents" / "MacOS" / path.stem
    found = shutil.which(path) if path.name == setting or _is_program(path) else None
    if found is None:
        raise BrowserUnavailableError(
            f"there is no program at {setting!r}, which is set as the browser",
            hint="Set ORMCO_BROWSER to the path of a Chrome, Edge or Chromium, or unset it.",
        )
    return Browser(name=path.stem, path=str(found))


def _candidates(headless: bool) -> Iterator[tuple[str, Path]]:
    if headless:
        yield from (("Playwright's headless Chromium", path) for path in _playwright_builds("headless_shell"))
    yield from (("Playwright's Chromium", path) for path in _playwright_builds("chromium"))
    commands = {"chromium": "Chromium", "chromium-browser": "Chromium"}
    if headless:
        commands = {"chromium-headless-shell": "Chromium"} | commands
    if sys.platform not in ("darwin", "win32"):
        commands = _LINUX_COMMANDS | commands
    yield from _on_this_system()
    for command, name in commands.items():
        if found := shutil.which(command):
            yield name, Path(found)


def _on_this_system() -> Iterator[tuple[str, Path]]:
    system = sys.platform
    if system == "darwin":
        for name in ("Google Chrome", "Microsoft Edge", "Chromium"):
            for folder in (Path("/Applications"), home_folder() / "Applications"):
                yield name, folder / f"{name}.app" / "Contents" / "MacOS" / name
    elif system == "win32":
        for name, parts in _WINDOWS_PROGRAMS.items():
            for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
                if root := os.environ.get(variable):
                    yield name, Path(root, *parts)


_LINUX_COMMANDS = {
    "google-chrome-stable": "Google Chrome",
    "google-chrome": "Google Chrome",
    "microsoft-edge-stable": "Microsoft Edge",
    "microsoft-edge": "Microsoft Edge",
}
_WINDOWS_PROGRAMS = {
    "Google Chrome": ("Google", "Chrome", "Application", "chrome.exe"),
    "Microsoft Edge": ("Microsoft", "Edge", "Application", "msedge.exe"),
    "Chromium": ("Chromium", "Application", "chrome.exe"),
}
_PLAYWRIGHT_PROGRAMS = {
    "chromium": (
        "chromium-*",
        "chrome-*/chrome",
        "chrome-*/chrome.exe",
        "chrome-*/*.app/Contents/MacOS/*",
    ),
    "headless_shell": (
        "chromium_headless_shell-*",
        "chrome-*/*headless[-_]shell",
        "chrome-*/*headless[-_]shell.exe",
    ),
}


def _playwright_builds(kind: str) -> list[Path]:
    """Return the programs in Playwright's download folder, the newest first."""
    folder, programs = _playwright_folder(), _PLAYWRIGHT_PROGRAMS[kind]
    revision = re.compile(r"[0-9]*$")
    builds = sorted(folder.glob(programs[0]), key=lambda build: -int(revision.findall(build.name)[0] or 0))
    return [path for build in builds for pattern in programs[1:] for path in sorted(build.glob(pattern))]


def _playwright_folder() -> Path:
    chosen = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if chosen and chosen != "0":
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home_folder() / "AppData" / "Local")) / "ms-playwright"
    if sys.platform == "darwin":
        return home_folder() / "Library" / "Caches" / "ms-playwright"
    return Path(os.environ.get("XDG_CACHE_HOME") or home_folder() / ".cache") / "ms-playwright"


def home_folder() -> Path:
    """Return this user's home folder; for a user without one, a path that does not exist."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull)


def _is_program(path: Path) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)  # Path.is_file() may raise PermissionError


def _is_snap(path: Path) -> bool:
    """Return whether a program belongs to a snap package, or only starts one."""
    if "snap" in path.parts or "snap" in path.resolve().parts or path.resolve().name == "snap":
        return True
    with path.open("rb") as file:
        return b"/snap/bin/" in file.read(4096)
