"""Keep secrets out of text."""

from __future__ import annotations

import hashlib
import logging

__all__ = ["fingerprint", "quiet_oauth_loggers", "shown"]

# requests-oauthlib writes codes, secrets and tokens at DEBUG; a filter holds whatever levels are set later.
_TALKATIVE = ("requests_oauthlib.oauth2_session", "oauthlib")


def fingerprint(secret: str) -> str:
    """Return a short, stable name for a secret that does not give it away.

    Only for secrets of high entropy (codes, states, tokens): a password could be guessed from it.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def shown(text: str, limit: int = 200) -> str:
    """Return foreign text fit for a terminal and a log: one line, printable, cut to a length."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quiet_oauth_loggers() -> None:
    """Keep the OAuth libraries' records below WARNING out of every log, whatever level is set."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if _is_serious not in logger.filters:
            logger.addFilter(_is_serious)


def _is_serious(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
