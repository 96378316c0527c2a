"""Keep secrets out of texts, logs and tracebacks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from connector.errors import SettingError

if TYPE_CHECKING:
    import logging
    from types import FrameType

__all__ = ["Secret", "fingerprint", "forget_locals", "quiet_oauth_loggers", "shown"]

_LONGEST_SECRET_FILE = 64 * 1024
_WARNING = 30  # logging.WARNING
# requests-oauthlib logs codes, secrets and tokens at DEBUG; a filter works with any level that is set later.
_TALKATIVE = ("requests_oauthlib.oauth2_session", "oauthlib")

# This package, and the libraries that it calls with secrets or with objects that contain secrets.
_OURS = {
    "connector",
    "http",
    "oauthlib",
    "psycopg",
    "psycopg_pool",
    "requests",
    "requests_oauthlib",
    "urllib3",
}
_GENERATOR = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR; `inspect` is slow to load


class Secret:
    """A secret that has no text form: its value, or the file that contains it.

    Args:
        value: the secret itself.
        path: or the path of a file that contains nothing else.
        name: the setting's name, for errors.
        private: refuse a file that belongs to another user, is not a regular file, or can be read by others.
    """

    __slots__ = ("_name", "_path", "_private", "_value")

    def __init__(
        self,
        value: str | None = None,
        *,
        path: str | None = None,
        name: str = "the secret",
        private: bool = False,
    ) -> None:
        self._value = value
        self._path = path
        self._name = name
        self._private = private

    def __bool__(self) -> bool:
        return self._value is not None or self._path is not None

    def __repr__(self) -> str:
        source = "a file" if self._path else "set" if self._value is not None else "not set"
        return f"Secret({source})"

    @property
    def is_text(self) -> bool:
        """Whether the value is text that can be sent; a file is not read here."""
        return self._value is None or _is_text(self._value)

    def reveal(self) -> str | None:
        """Return the value, read from its file now if it has one; None if it is not set.

        Raises:
            connector.errors.SettingError: if both a value and a file are set, or the file cannot be used.
        """
        if self._path is None:
            return self._value
        if self._value is not None:
            raise SettingError(
                f"{self._name} and {self._name}_FILE are both set", hint="Unset one of the two."
            )
        text, reason = _read(self._path, private=self._private)
        if reason:
            raise SettingError(
                f"{self._name}_FILE {self._path!r} cannot be used: {reason}",
                hint=f"Check the path and its permissions{' (chmod 600)' if self._private else ''}; the file "
                "must contain only the secret, in UTF-8.",
            )
        return text


def fingerprint(secret: str) -> str:
    """Return a short, stable identifier of a secret that does not reveal it.

    Only for secrets of high entropy (codes, states, tokens): a password could be guessed from it.
    """
    import hashlib  # slow to load, as is logging; a program that prints a token needs neither

    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def shown(text: str, limit: int = 200) -> str:
    """Return untrusted text made safe for a terminal and a log: one line, printable, cut to a length."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def quiet_oauth_loggers() -> None:
    """Keep the OAuth libraries' records below WARNING out of every log, at any level."""
    import logging

    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if _is_serious not in logger.filters:
            logger.addFilter(_is_serious)


def forget_locals(error: BaseException | None) -> None:
    """Clear the local variables of frames that an error has left, also of its causes."""
    from traceback import walk_tb  # seldom needed

    seen: set[int] = set()
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        waiting += [error.__cause__, error.__context__]
        for frame, _ in walk_tb(error.__traceback__):
            # A generator may continue: an error that it raised before may be the context of a later one.
            if _is_ours(frame) and not frame.f_code.co_flags & _GENERATOR:
                with suppress(RuntimeError):  # it is still running
                    frame.clear()


def _read(path: str, *, private: bool) -> tuple[str, str]:
    """Return a secret file's text, and the reason if it cannot be used."""
    from pathlib import Path

    from connector.own_files import read_named_file

    limit = _LONGEST_SECRET_FILE + 1
    try:
        found = Path(path).expanduser()
        if private:
            data = read_named_file(found, limit=limit)
        else:
            with found.open("rb") as file:
                data = file.read(limit)
        text = data.decode("utf-8-sig").strip()
    except RuntimeError:
        return "", "this user has no home folder"
    except (OSError, ValueError) as exc:
        return "", (isinstance(exc, OSError) and exc.strerror) or "it is not UTF-8 text"
    if not 0 < len(text) <= _LONGEST_SECRET_FILE:
        return "", "it is empty" if not text else "it is far too long"
    return (text, "") if _is_text(text) else ("", "it has control characters")


def _is_text(value: object) -> bool:
    # Sealing keys may be on several lines.
    return isinstance(value, str) and "".join(value.split()).isprintable()


def _is_serious(record: logging.LogRecord) -> bool:
    return record.levelno >= _WARNING


def _is_ours(frame: FrameType) -> bool:
    """Return whether a frame is this library's or of one that it calls, and no caller's callback."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS
