"""What the browser gets of this process's environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["browser_environment"]

# What a browser needs: finding itself, its user, the display, fonts, input methods, the language.
_NAMES = frozenset(
    {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"}
    | {
        "DBUS_SESSION_BUS_ADDRESS",
        "DESKTOP_SESSION",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "XMODIFIERS",
    }
    | {"FONTCONFIG_FILE", "FONTCONFIG_PATH", "GDK_BACKEND", "GTK_IM_MODULE", "QT_IM_MODULE"}
    | {"ALLUSERSPROFILE", "APPDATA", "COMPUTERNAME", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "OS"}
    | {
        "PATHEXT",
        "PUBLIC",
        "SYSTEMDRIVE",
        "SYSTEMROOT",
        "TEMP",
        "TMP",
        "USERDOMAIN",
        "USERNAME",
        "USERPROFILE",
    }
    | {"NUMBER_OF_PROCESSORS", "WINDIR", "__CF_USER_TEXT_ENCODING"}
)
_FAMILIES = ("COMMONPROGRAM", "LC_", "PROCESSOR_", "PROGRAM", "XDG_")
_PROXIES = frozenset({"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})


def browser_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the variables a browser needs and no other, so no secret.

    Args:
        environment: of this process.
        folder: the browser's own, for its temporary files.
    """
    kept = {}
    for name, value in environment.items():
        if name.upper() in _NAMES or name.upper().startswith(_FAMILIES):
            kept[name] = value
        elif name.upper() in _PROXIES:
            kept[name] = _without_password(value)
    # A crash report holds memory, and with it perhaps a code.
    kept["BREAKPAD_DUMP_LOCATION"] = str(folder)
    # The browser makes a socket there, and the path of a socket ends at about 100 characters.
    if sys.platform == "linux" and len(str(folder)) < 60:
        kept["TMPDIR"] = str(folder)
    return kept


def _without_password(proxy: str) -> str:
    scheme, separator, rest = proxy.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]
