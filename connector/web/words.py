"""The one table of words of all pages, `words.json`: language → name → text, names of values in braces.

The words for refused pastes are in `connector/redirect/refusals.json`, by the reason.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

__all__ = ["words"]


@lru_cache(maxsize=1)
def words() -> dict[str, dict[str, str]]:
    """Return the words of the pages in each language.

    Examples:
        >>> words()["de"]["copy"]
        'Kopieren'
    """
    table: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("words.json").read_text("utf-8"))
    return table
