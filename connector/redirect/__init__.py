"""Turn a copied text into a checked authorization response. Pure: no settings, no network, no clock.

`parse_redirect` in `parse` is the entry point. It reads a whole address itself: its host by `address`, its
code by `code`, which knows the formats. Any other text goes through `paste`: `normalize` cleans it,
`mail_gateways` undoes link rewriting, `find` finds every response in it, `wrapping` joins a wrapped code.
`dotnetopenauth` detects damage in a classic code. `refusals` has the messages for refused texts.

The code page's JavaScript (`connector/web/redirect`) does the same, from the same JSON tables.
"""

from __future__ import annotations

import os.path
from functools import lru_cache
from typing import Any

__all__ = ["REDIRECT_URI", "table"]

# The guide, step 8 of Getting Connected: the address to which the browser is sent with the code.
REDIRECT_URI = "https://ormco.com/"


@lru_cache(maxsize=8)
def table(name: str) -> Any:
    """Return one of this package's JSON tables, such as "characters"; each is read once, on first use.

    Examples:
        >>> table("mail_gateways")["opaque"]["mimecast.com"]
        'Mimecast'
    """
    import json

    # Not pathlib, which is slow to import.
    with open(os.path.join(os.path.dirname(__file__), f"{name}.json"), encoding="utf-8") as file:
        return json.load(file)
