"""Protect the secrets of this process from its children and from core dumps."""

from __future__ import annotations

import sys
from collections.abc import Mapping

__all__ = ["child_environment", "forbid_core_dumps"]

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

    The list names allowed variables, because nobody knows the names of all secrets in an environment.

    Args:
        environment: the environment of this process.
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
    far as the system permits, and for our own programs only: a library does not change its caller's limits.
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
