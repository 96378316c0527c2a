"""What a person who looks after a SQLite store wants to know."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

__all__ = ["facts", "network_share"]

_NETWORK = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "glusterfs", "ceph")


def facts(path: Path) -> dict[str, str]:
    """Return where a store's file is, who may read it, how much room is left, and what is amiss."""
    found = {"database": "SQLite", "path": str(path)}
    folder = next(parent for parent in path.parents if parent.exists())
    found["free_bytes"] = str(shutil.disk_usage(folder).free)
    if path.is_symlink():
        found["symlink_to"] = os.path.realpath(path)
    if path.exists():
        found["bytes"] = str(path.stat().st_size)
        if os.name == "posix":
            found |= _permissions(path)
    share = network_share(path, _mounts())
    if share:
        found["network_share"] = share
    return found


def _permissions(path: Path) -> dict[str, str]:
    file, folder = path.stat(), path.parent.stat()
    found = {
        "permissions": f"{stat.S_IMODE(file.st_mode):04o}",
        "folder_permissions": f"{stat.S_IMODE(folder.st_mode):04o}",
    }
    if stat.S_IMODE(file.st_mode) & 0o077:
        found["readable_by_others"] = "yes"
    if file.st_uid != os.getuid():
        found["owned_by"] = str(file.st_uid)
    return found


def network_share(path: Path, mounts: str) -> str:
    """Return the kind of network share a path is on: SQLite's locks do not hold between its machines.

    Args:
        path: absolute.
        mounts: as /proc/self/mounts has it; empty where the system has no such file.
    """
    if str(path).startswith(("\\\\", "//")):
        return "UNC path"
    real = Path(os.path.realpath(path))
    found = [line.split(" ") for line in mounts.splitlines()]
    over = [(mount[1], mount[2]) for mount in found if len(mount) > 2 and real.is_relative_to(mount[1])]
    kind = max(over, key=lambda mount: len(mount[0]), default=("", ""))[1]
    return kind if kind.startswith(_NETWORK) else ""


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text("utf-8", "replace")
    except OSError:
        return ""
