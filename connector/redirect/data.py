"""Tables that this package shares with the code page: what is listed, not programmed, is in JSON."""

from __future__ import annotations

import os.path
from functools import lru_cache
from typing import Any

__all__ = ["table"]


@lru_cache(maxsize=8)
def table(name: str) -> Any:
    """Return one of this package's JSON files, such as "characters"; each is read once, when it is needed.

    Examples:
        >>> table("mail_gateways")["opaque"]["mimecast.com"]
        'Mimecast'
    """
    import json

    # Not pathlib, which is slow to import.
    with open(os.path.join(os.path.dirname(__file__), f"{name}.json"), encoding="utf-8") as file:
        return json.load(file)
