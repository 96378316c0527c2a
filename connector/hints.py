"""Command lines that hints tell people to run."""

from __future__ import annotations

import os
import re

__all__ = ["install", "ormco_command"]

_SAFE_ON_WINDOWS = r"[\w@+=:,./-]+"


def ormco_command(name: str, practice_id: str = "", options: str = "") -> str:
    """Return a command line that can be pasted into a shell.

    A practice id is any text, so it is quoted: `a; rm -rf x` must not run anything.

    Args:
        name: the command, such as "repair" or "lab status".
        practice_id: the practice that the command is for, if any.
        options: further options, as written by this package.

    Example:
        >>> ormco_command("repair", "a; b", "--paste")
        "ormco repair 'a; b' --paste"
    """
    if practice_id.startswith("-"):
        return " ".join(filter(None, ("ormco", name, options, "--", _quoted(practice_id))))
    practice = _quoted(practice_id) if practice_id else ""
    return " ".join(filter(None, ("ormco", name, practice, options)))


def install(extra: str) -> str:
    """Return the instructions for installing an optional part of this package, as in the README.

    No package index has this package, so the instructions must not name one.
    """
    return (
        f"Install it with the extra `{extra}`: pip install '.[{extra}]' in this project's folder, or "
        f"uv tool install --force 'ormco-connector[{extra}] @ FILE' with the wheel's path for FILE"
    )


def _quoted(text: str) -> str:
    if os.name != "nt":
        import shlex

        return shlex.quote(text)
    # cmd.exe and PowerShell both accept double quotes; a quote inside is doubled.
    return text if re.fullmatch(_SAFE_ON_WINDOWS, text, re.ASCII) else '"' + text.replace('"', '""') + '"'
