"""Undo a code's percent-encoding, recognise its format, and refuse a visibly damaged one.

Classic Communicate issues DotNetOpenAuth codes, which contain their own length. identity.3shape.com issues
IdentityServer codes: 64 hex digits, with or without `-1` after them, or 43 characters of base64url. Nothing
in them shows whether they are complete. A code of any other provider is opaque: it is not interpreted.
"""

from __future__ import annotations

import re

from connector.redirect import dotnetopenauth

__all__ = [
    "LONGEST_CODE",
    "LONGEST_OPAQUE_CODE",
    "MOST_LAYERS",
    "canonical_code",
    "check_code",
    "decode",
    "dialog_form",
    "encodes",
    "percent_decode",
    "recognise",
]

LONGEST_CODE = 4096
# A provider whose codes are opaque may put a whole token into one.
LONGEST_OPAQUE_CODE = 16_384
MOST_LAYERS = 8

# A classic code that was cut inside its handle has no structure left, and no server issues shorter codes.
_SHORTEST_CODE = 6
_IDENTITY_SERVER = r"[0-9A-F]{64}(?:-[0-9]{1,3})?|[0-9a-f]{64}(?:-[0-9]{1,3})?|[A-Za-z0-9_\-]{43}"
# Characters that RFC 6749 appendix A.11 forbids in a code, and those that no server issues: they show damage.
_NOT_IN_ANY_CODE = r"[^ -~]"
_ACCIDENT = r"""[^!-~]|["%<>\\`]"""
# A code of 64 hex digits, and something after it or inside it.
_HEX_AND_MORE = r"(?:[0-9A-F]{64}|[0-9a-f]{64})(?=[^0-9A-Fa-f])"
_HEX_AROUND = r"([0-9A-F]*)[^0-9A-Fa-f][0-9A-F]*|([0-9a-f]*)[^0-9A-Fa-f][0-9a-f]*"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ONE_ALPHABET = str.maketrans("+/", "-_")
# White space inside an escape is a wrapped line. The literal "%" in front makes the search fast.
_ESCAPES = re.compile(r"%[ \n]*[0-9A-Fa-f][ \n]*[0-9A-Fa-f](?:%[ \n]*[0-9A-Fa-f][ \n]*[0-9A-Fa-f])*")


def percent_decode(text: str) -> str:
    """Undo one layer of percent-encoding.

    Examples:
        >>> percent_decode("KY-s%2521IAAAA+")
        'KY-s%21IAAAA+'
    """
    # Not unquote_plus: in a code, "+" never means a space.
    return _ESCAPES.sub(_decoded_run, text) if "%" in text else text


def decode(raw: str, code_format: str | None = None) -> tuple[str, int]:
    """Undo all percent-encoding of a code.

    Args:
        raw: the code as it is in an address.
        code_format: "opaque" for a code that may itself contain a "%"; it is decoded exactly once.

    Returns:
        The code, and the number of layers that were undone.

    Examples:
        >>> decode("KY-s%2521IAAAA")
        ('KY-s!IAAAA', 2)
        >>> decode("50%2525", "opaque")
        ('50%25', 1)
    """
    most = 1 if code_format == "opaque" else MOST_LAYERS
    for layers in range(most):
        if "%" not in raw or (decoded := _ESCAPES.sub(_decoded_run, raw)) == raw:
            return raw, layers
        raw = decoded
    return raw, most


def encodes(raw: str, expected: str) -> bool:
    """Return in constant time whether a raw value is the expected one, encoded any number of times."""
    import hmac

    found = False
    for _ in range(MOST_LAYERS):
        raw = percent_decode(raw)
        found |= hmac.compare_digest(raw.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
    return found


def dialog_form(code: str) -> str:
    """Return a code percent-encoded once: the form for OrmcoDigital's dialog, as after the guide's steps.

    Examples:
        >>> dialog_form("KY-s!IAAAA")
        'KY-s%21IAAAA'
    """
    return re.sub(r"[^A-Za-z0-9_.~\-]", _encoded_character, code)


def canonical_code(code: str) -> str:
    """Return the canonical form of a code, for comparing codes, not for sending them.

    A server accepts several spellings of one code: percent-encoded or not, with or without the padding of
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


def recognise(code: str) -> str:
    """Return the format of a decoded code, complete or not: dotnetopenauth, identityserver or unknown."""
    if dotnetopenauth.looks_like(code) or ("!" in code and not dotnetopenauth.is_foreign(code)):
        return "dotnetopenauth"
    return "identityserver" if re.fullmatch(_IDENTITY_SERVER, code) else "unknown"


def check_code(code: str, code_format: str | None = None) -> tuple[str, bool | None]:
    """Check that a decoded code shows no damage.

    Args:
        code: the fully decoded code.
        code_format: the provider's format, if it is known.

    Returns:
        The format, and True for a complete code or None if that cannot be determined.

    Raises:
        connector.errors.CodeDamagedError: if it is damaged or cut short; the error says how.
    """
    opaque = code_format == "opaque"
    longest = LONGEST_OPAQUE_CODE if opaque else LONGEST_CODE
    may_be_classic = len(code) <= longest and code_format in (None, "dotnetopenauth")
    if may_be_classic and dotnetopenauth.is_whole(code):
        return "dotnetopenauth", True
    found = code_format or recognise(code)
    _refuse_damage(code, found, longest)
    return "unknown" if opaque else found, None


def _refuse_damage(code: str, code_format: str, longest: int) -> None:
    from connector.redirect.refusals import damaged

    if len(code) > longest:
        raise damaged("code_too_long", code, longest=longest)
    if code_format == "dotnetopenauth":
        raise dotnetopenauth.damage_in(code)
    opaque = code_format == "opaque"
    wrong = re.search(_NOT_IN_ANY_CODE if opaque else _ACCIDENT, code)
    if wrong:
        raise damaged("forbidden_character", code, position=wrong.start())
    position = None if opaque or re.fullmatch(_IDENTITY_SERVER, code) else _break_in_hex(code)
    if position is not None:
        raise damaged("foreign_at", code, position=position)
    if len(code) < _SHORTEST_CODE and not opaque:
        raise damaged("too_short", code)


def _break_in_hex(code: str) -> int | None:
    """Return the index of an extra character in an IdentityServer code, or None if it is no such code."""
    if whole := re.match(_HEX_AND_MORE, code):
        return whole.end()
    parts = re.fullmatch(_HEX_AROUND, code) if len(code) == 65 else None
    return len(parts[1] or parts[2] or "") if parts else None


def _decoded_run(run: re.Match[str]) -> str:
    return bytes.fromhex("".join(run[0].replace("%", "").split())).decode("utf-8", "replace")


def _encoded_character(character: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in character[0].encode("utf-8", "replace"))
