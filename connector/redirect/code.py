"""Undo a code's percent-encoding, recognise its format, and refuse one that is visibly not whole.

Classic Communicate issues DotNetOpenAuth codes, which tell their own length. identity.3shape.com issues
IdentityServer codes: 64 hex digits, with `-1` behind them or not, or 43 characters of base64url; nothing in
them tells whether they are whole. A code of any other provider is taken as it is.
"""

from __future__ import annotations

import re

from connector.errors import CodeDamagedError
from connector.redirect import dotnetopenauth

__all__ = [
    "LONGEST_CODE",
    "MOST_LAYERS",
    "canonical_code",
    "check_code",
    "decode",
    "dialog_form",
    "percent_decode",
    "recognise",
    "unusual_handle",
]

LONGEST_CODE = 4096
MOST_LAYERS = 8

# A classic code that was cut inside its handle has no structure left; and nobody issues codes so short.
_SHORTEST_CODE = 6
_HINT = (
    "Copy the ENTIRE address from the browser's address bar again and paste it; if it is gone, or about "
    "three minutes old, ask for access again. This code was not sent to anyone"
)
_IDENTITY_SERVER = r"[0-9A-F]{64}(?:-\d{1,3})?|[0-9a-f]{64}(?:-\d{1,3})?|[A-Za-z0-9_\-]{43}"
# RFC 6749 would allow these in a code. Nobody issues such codes, and in a pasted text they are accidents.
_ACCIDENT = r"""[^!-~]|["'<>\\`]"""
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ONE_ALPHABET = str.maketrans("+/", "-_")
# White space inside an escape is a wrapped line. The literal "%" in front makes the search fast.
_ESCAPES = re.compile(r"%\s*[0-9A-Fa-f]\s*[0-9A-Fa-f](?:%\s*[0-9A-Fa-f]\s*[0-9A-Fa-f])*")


def percent_decode(text: str) -> str:
    """Undo one layer of percent-encoding.

    Examples:
        >>> percent_decode("KY-s%2521IAAAA+")
        'KY-s%21IAAAA+'
    """
    # Not unquote_plus: "+" never stands for a space in a code.
    return _ESCAPES.sub(_character, text) if "%" in text else text


def decode(raw: str, code_format: str | None = None) -> tuple[str, int]:
    """Undo all percent-encoding of a code.

    Args:
        raw: the code as it stands in an address.
        code_format: "opaque" for a code that may hold a "%" of its own; it is decoded exactly once.

    Returns:
        The code, and how many layers were undone.

    Examples:
        >>> decode("KY-s%2521IAAAA")
        ('KY-s!IAAAA', 2)
        >>> decode("50%2525", "opaque")
        ('50%25', 1)
    """
    most = 1 if code_format == "opaque" else MOST_LAYERS
    for layers in range(most):
        if "%" not in raw or (decoded := percent_decode(raw)) == raw:
            return raw, layers
        raw = decoded
    return raw, most


def canonical_code(code: str) -> str:
    """Return the one form that all spellings of a code share; for comparing codes, not for sending them.

    A server takes several spellings of one code: percent-encoded or not, with or without the padding of
    base64, in either of its alphabets, and with any value in the bits that the last character does not use.

    Examples:
        >>> canonical_code("KY-s%21IA9=") == canonical_code("KY-s!IA8")
        True
    """
    code, _ = decode(code)
    handle, bang, payload = code.rpartition("!")
    payload = payload.rstrip("=").translate(_ONE_ALPHABET)
    unused = {2: 4, 3: 2}.get(len(payload) % 4, 0)
    if bang and unused and (value := _ALPHABET.find(payload[-1])) >= 0:
        payload = payload[:-1] + _ALPHABET[value >> unused << unused]
    return f"{handle}{bang}{payload}"


def dialog_form(code: str) -> str:
    """Return a code percent-encoded once: what OrmcoDigital's dialog takes, and the guide's steps end with.

    Examples:
        >>> dialog_form("KY-s!IAAAA")
        'KY-s%21IAAAA'
    """
    return re.sub(r"[^A-Za-z0-9_.~\-]", lambda one: "".join(f"%{byte:02X}" for byte in one[0].encode()), code)


def recognise(code: str) -> str:
    """Return the format of a decoded code, whole or not: dotnetopenauth, identityserver or unknown."""
    if "!" in code or dotnetopenauth.looks_like(code):
        return "dotnetopenauth"
    return "identityserver" if re.fullmatch(_IDENTITY_SERVER, code) else "unknown"


def check_code(code: str, code_format: str | None = None) -> tuple[str, bool | None]:
    """Make sure that nothing in a decoded code shows damage.

    Args:
        code: the code, all layers undone.
        code_format: the provider's, where it is known.

    Returns:
        The format, and True for a whole code or None where the code cannot tell.

    Raises:
        connector.errors.CodeDamagedError: if it cannot be whole; it says what is missing or where it breaks.
    """
    if len(code) > LONGEST_CODE:
        fact = f"the code has more than {LONGEST_CODE} characters, which no code has; it was not read"
        raise CodeDamagedError(fact, hint=_HINT, length=len(code))
    if code_format in (None, "dotnetopenauth") and dotnetopenauth.is_whole(code):
        return "dotnetopenauth", True
    found = code_format or recognise(code)
    if found == "dotnetopenauth":
        from connector.redirect.damage import examine

        damage = examine(code)
        raise CodeDamagedError(
            damage.fact,
            hint=_HINT,
            length=len(code),
            expected_length=damage.expected_length,
            position=damage.position,
        )
    _check_characters(code, code_format)
    return "unknown" if found == "opaque" else found, None


def _character(run: re.Match[str]) -> str:
    return bytes.fromhex("".join(run[0].replace("%", "").split())).decode("utf-8", "replace")


def unusual_handle(code: str) -> str:
    """Return what is unusual about a whole classic code, in words, or nothing.

    A character that was lost or added before the `!` cannot be told from a longer handle.
    """
    length = code.find("!")
    return "" if length == 4 else f'{length} characters stand before the "!" of the code, where 4 are usual'


def _check_characters(code: str, code_format: str | None) -> None:
    # No format has a "%" of its own, except one that we do not know.
    accident = re.search(_ACCIDENT, code) or (None if code_format == "opaque" else re.search("%", code))
    if accident:
        position = accident.start()
        fact = f"the code breaks at character {position + 1}, which cannot stand in a code"
        raise CodeDamagedError(fact, hint=_HINT, length=len(code), position=position)
    if len(code) < _SHORTEST_CODE and code_format != "opaque":
        raise CodeDamagedError(
            f"the code is cut short: only {len(code)} characters of it are there",
            hint=_HINT,
            length=len(code),
        )
