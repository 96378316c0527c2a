"""Names that the README's Python examples take for granted, as the program around them would have them."""

from __future__ import annotations

import os
import secrets

from tests.support.browsing import answer_of

__all__ = ["answer_of", "os", "session_id"]

session_id = secrets.token_hex(8)
