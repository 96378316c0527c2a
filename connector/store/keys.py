"""Read and write the sealing keys in their source: the settings, the OS keyring, or a key file.

The source is chosen once, when a store is made, and recorded in it. The path of a key is never read from the
database: an attacker who can write there could make this process seal everything with the attacker's key.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from connector.errors import SealingKeyError, StoreDamagedError
from connector.own_files import create_own_file, platform_folder, read_own_file
from connector.own_folders import check_own_folder, make_own_folder, sync_folder

__all__ = [
    "ENVIRONMENT",
    "FILE",
    "KEYRING",
    "key_file",
    "load_keys",
    "make_key",
    "new_key",
    "parse_keys",
    "save_keys",
]

ENVIRONMENT, KEYRING, FILE = "environment", "keyring", "file"
_KEYRING_SECONDS = 3.0
_LONGEST_FILE = 64 * 1024
_SERVICE = "ormco-connector"
_FORM = "A key is 32 random bytes in base64 (44 characters); several are separated by commas."
_T = TypeVar("_T")


def new_key() -> str:
    """Return a fresh key as text, for ORMCO_STORE_KEYS."""
    return base64.b64encode(os.urandom(32)).decode()


def parse_keys(text: str, *, origin: str) -> list[bytes]:
    """Read keys from the text of a setting or a file; `origin` names that, for the error.

    They are base64 of 32 bytes each, separated by commas or white space.

    Raises:
        connector.errors.SealingKeyError: if there is none, or one is malformed.
    """
    words = text.replace(",", " ").split()
    if not words:
        raise SealingKeyError(f"there is no key in {origin}", hint=_FORM)
    return [_key(word, f"key {number} of {len(words)} in {origin}") for number, word in enumerate(words, 1)]


def key_file(store_id: str) -> Path:
    """Return the path of a store's key file: in the platform's configuration folder, not beside the store.

    Raises:
        connector.errors.StoreDamagedError: if the id is malformed; it could be a path.
        connector.errors.SealingKeyError: this user has no home folder.
    """
    if not re.fullmatch("[0-9a-f]{16}", store_id):
        raise StoreDamagedError("the store's id is malformed", hint="Restore the store from a backup.")
    folder = platform_folder("config")
    if folder is None:
        raise SealingKeyError(
            "this user has no home folder, so there is no folder for a key file",
            hint="Set ORMCO_STORE_KEYS or ORMCO_STORE_KEYS_FILE.",
        )
    return folder / "keys" / f"{store_id}.key"


def has_key_file(store_id: str) -> bool:
    """Return whether this machine has a key file of a store."""
    return platform_folder("config") is not None and key_file(store_id).exists()


def remove_key_file(store_id: str) -> None:
    """Remove the key file of a store that now has its keys elsewhere."""
    path = key_file(store_id)
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_key(store_id: str) -> str:
    """Make a store's first key, in the OS keyring if that works, otherwise in a file.

    An existing key for this store is kept: a store that claims to have none was manipulated.

    Returns:
        The source of the key: `KEYRING` or `FILE`.
    """
    if has_key_file(store_id):
        return FILE
    if _keep_in_keyring(store_id, new_key(), replace=False):
        return KEYRING
    _create(key_file(store_id), new_key())
    return FILE


def load_keys(source: str, store_id: str) -> list[bytes]:
    """Fetch a store's keys from the source that is recorded in it, `KEYRING` or `FILE`.

    Raises:
        connector.errors.SealingKeyError: if the source is not available; a new key is never made then.
    """
    if source == KEYRING:
        text = _from_keyring(store_id)
        return parse_keys(text, origin="the OS keyring")
    path = key_file(store_id)
    try:
        check_own_folder(path.parent)
        text = read_own_file(path, limit=_LONGEST_FILE).decode("ascii")
    except (OSError, ValueError) as exc:
        raise SealingKeyError(
            f"the key file {path} cannot be read ({_reason(exc)})",
            hint="It must be a regular file of this user that no other user can read (chmod 600). Put it "
            "back from a backup, or set ORMCO_STORE_KEYS to the key it held; without the key the stored "
            "tokens cannot be opened, and each practice has to connect again.",
        ) from None
    return parse_keys(text, origin=f"the key file {path}")


def save_keys(source: str, store_id: str, keys: Sequence[bytes]) -> None:
    """Replace a store's keys in the source that is recorded in it."""
    text = ",".join(base64.b64encode(key).decode() for key in keys)
    if source != KEYRING:
        path = key_file(store_id)
        os.replace(_scratch(path, text), path)
        for left in path.parent.glob(f".{path.name}.*"):  # of killed processes; may contain older keys
            left.unlink(missing_ok=True)
        sync_folder(path.parent)
    elif not _keep_in_keyring(store_id, text, replace=True):
        raise _keyring_is_silent()


def _key(word: str, what: str) -> bytes:
    standard = word.translate({ord("-"): "+", ord("_"): "/"}) + "=" * (-len(word) % 4)
    with suppress(binascii.Error, ValueError):
        if len(key := base64.b64decode(standard, validate=True)) == 32:
            return key
    raise SealingKeyError(f"{what} is not 32 bytes in base64", hint=_FORM)


def _keep_in_keyring(store_id: str, text: str, *, replace: bool) -> bool:
    """Store a text in the OS keyring and read it back; return False if there is no working keyring."""

    def keep() -> bool:
        import keyring

        if keyring.get_keyring().priority <= 0:  # there is no backend
            return False
        if not replace and keyring.get_password(_SERVICE, store_id):
            return True
        keyring.set_password(_SERVICE, store_id, text)
        return keyring.get_password(_SERVICE, store_id) == text

    return _within(_KEYRING_SECONDS, keep) or False


def _from_keyring(store_id: str) -> str:
    def fetch() -> str:
        import keyring

        return keyring.get_password(_SERVICE, store_id) or ""

    text = _within(_KEYRING_SECONDS, fetch)
    if text is None:
        raise _keyring_is_silent()
    if not text:
        raise SealingKeyError(
            "the OS keyring does not hold this store's key",
            hint=f"It is the entry {_SERVICE} / {store_id}: use the account and machine that made the store, "
            "or set ORMCO_STORE_KEYS to the key.",
        )
    return text


def _within(seconds: float, work: Callable[[], _T]) -> _T | None:
    """Run work that may hang, as a locked keyring does; return None if it fails or takes too long."""
    results: list[_T] = []

    def run() -> None:
        with suppress(Exception):  # backends raise errors of any class
            results.append(work())

    thread = threading.Thread(target=run, daemon=True, name="ormco-keyring")
    thread.start()
    thread.join(seconds)
    return results[0] if results else None


def _keyring_is_silent() -> SealingKeyError:
    return SealingKeyError(
        "this store's key is in the OS keyring, which does not respond",
        hint="Unlock the keyring (sign in to the desktop), install the extra `ormco-connector[keyring]`, "
        "or set ORMCO_STORE_KEYS to the key.",
    )


def _create(path: Path, text: str) -> None:
    """Write a file unless it exists, so that two processes that start together use the same one."""
    scratch = _scratch(path, text)
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    except OSError:  # no hard links on this file system: rename, which on Windows keeps an existing file
        if not path.exists():
            os.rename(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    sync_folder(path.parent)


def _scratch(path: Path, text: str) -> Path:
    try:
        make_own_folder(path.parent)
        scratch = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
        with os.fdopen(create_own_file(scratch), "w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise SealingKeyError(
            f"the key file {path} cannot be written ({_reason(exc)})",
            hint="Set ORMCO_STORE_KEYS, or make the folder writable.",
        ) from None
    return scratch


def _reason(exc: Exception) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else "it is not text"
