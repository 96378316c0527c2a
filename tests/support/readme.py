"""Names that the README's Python examples take for granted, as the program around them would have them."""

from __future__ import annotations

import os
import secrets
from types import SimpleNamespace
from typing import Any

from tests.support.sandbox import SignIn, Visitor

__all__ = ["answer_of", "session_id"]

session_id = secrets.token_hex(8)


def answer_of(authorization_url: str) -> str:
    """Give access as the practice of the environment, and return the redirect URL."""
    who = SignIn(os.environ["ORMCO_3SHAPE_USERNAME"], os.environ["ORMCO_3SHAPE_PASSWORD"])
    sandbox: Any = SimpleNamespace(url=authorization_url.partition("/oauth/")[0], practice=who)
    return Visitor(sandbox).authorize(authorization_url)
