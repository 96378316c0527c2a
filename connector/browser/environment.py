"""What the browser gets of this process's environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from connector.process import child_environment

__all__ = ["browser_environment"]


def browser_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the variables a browser needs and no other, so no secret.

    Args:
        environment: of this process.
        folder: the browser's own, for its temporary files.
    """
    kept = child_environment(environment)
    # A crash report holds memory, and with it perhaps a code.
    kept["BREAKPAD_DUMP_LOCATION"] = str(folder)
    # The browser makes a socket there, and the path of a socket ends at about 100 characters.
    if sys.platform == "linux" and len(str(folder)) < 60:
        kept["TMPDIR"] = str(folder)
    return kept
