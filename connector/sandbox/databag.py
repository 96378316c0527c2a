"""Strings shaped like those of DotNetOpenAuth, the library behind the classic authorization server.

A data bag is `handle ! payload`: the name of a key, then base64url (no padding) of a length-prefixed
HMAC-SHA256 and a length-prefixed, encrypted body of 1 version byte, 16 bytes IV and whole AES blocks.
"""

from __future__ import annotations

import base64
import secrets
import string

__all__ = ["new_access_token", "new_data_bag", "new_handle"]

_HANDLE_LETTERS = string.ascii_letters + string.digits + "-_"
_SIGNATURE_LENGTH = 32
_VERSION = b"\x01"
_BLOCK = 16
_BLOCKS = 13  # with version and IV 225 bytes: the size of the code in the guide's picture


def new_handle() -> str:
    """Return the name of a signing key: four letters, as the server draws them."""
    return "".join(secrets.choice(_HANDLE_LETTERS) for _ in range(4))


def new_data_bag(handle: str) -> str:
    """Return an authorization code or refresh token that nobody can tell from a real one."""
    body = _VERSION + secrets.token_bytes(_BLOCK + _BLOCKS * _BLOCK)
    return f"{handle}!{_text(_sized(secrets.token_bytes(_SIGNATURE_LENGTH)) + _sized(body))}"


def new_access_token() -> str:
    """Return an access token: no handle in it, and it begins with `AAEAA`."""
    return _text(b"\x00\x01\x00\x00" + secrets.token_bytes(160))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
