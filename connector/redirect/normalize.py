"""Clean a text that a person copied: marks nobody sees, entities, mail encoding, quotes and brackets.

Afterwards white space is spaces and line feeds, and every quote or bracket is a BREAK. White space stays,
because it may be a wrapped line or the end of a word; which it is can only be told from the code.
"""

from __future__ import annotations

import re

from connector.redirect.code import percent_decode
from connector.redirect.mail_gateways import BREAK, restore_links

__all__ = ["clean", "tidy"]

_MOST_ROUNDS = 8
# Words of ordinary text that are so long and of one length do not stand side by side.
_SHORTEST_LINE = 16
_LONGEST_LINE = 200
_TRIM = BREAK + ".,;…"

_SPACES = [9, 32, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000]
_LINE_ENDS = [10, 11, 12, 13, 0x85, 0x2028, 0x2029]
_INVISIBLE = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0xAD,
    0x34F,
    0x61C,
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
]
_QUOTES = "\"'`´<>()[]{}«»‹›‘’‚‛“”„‟〈〉《》「」『』【】＂＇（）＜＞［］｛｝"
_TIDY: dict[int, str | None] = {
    **dict.fromkeys(_INVISIBLE),
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_LINE_ENDS, "\n"),
    **dict.fromkeys(map(ord, _QUOTES), BREAK),
}

_ENTITY = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"

# Patterns are compiled when their sign is met, which most texts do not have.
_Rules = tuple[tuple[str, str, str], ...]
_BEFORE_ENTITIES: _Rules = (
    ("\x1b", r"\x1b\[[0-9;?]*[@-~]", ""),
    ("<", r"(?i)<wbr\s*/?>", ""),
    ("<", r"(?i)<br\s*/?>", "\n"),
)
_BEHIND_ENTITIES: _Rules = (
    ("\\", r"\\([!#%&*+.=?_~\-])", r"\1"),
    (">", r"(?m)^[ \t]*>[> \t]*", ""),
)
_OPENS, _CLOSES = rf"(?<![^\s{BREAK}])", rf"(?![^\s{BREAK}.,;…])"
_EMPHASIZED = rf"{_OPENS}(?P<marks>\*{{1,3}}|~~)(?=[^\s*~])([^{BREAK}]*?)(?<=[^\s*~])(?P=marks){_CLOSES}"
_EMPHASES: _Rules = (
    ("*", _EMPHASIZED, r"\2"),
    ("~", _EMPHASIZED, r"\2"),
    # A bare code may begin with an underscore of its own.
    ("_", rf"{_OPENS}(?P<marks>_{{1,3}})((?:https?:|\?|code=)\S+?)(?P=marks){_CLOSES}", r"\2"),
)
_HAS_CODE = r"(?i)\bcode=|(?:!|%(?:25)*21)IAA"
_SOFT_BREAK = r"=[ \t]*\r?\n"
_SOFT_BREAK_IN_CODE = r"(?<=[A-Za-z0-9_\-]{16})=[ \t]*\r?\n(?=[A-Za-z0-9_\-])"
_MAIL_ESCAPES = r"(?:=[0-9A-Fa-f]{2})+"
_NOT_MAIL_ENCODED = r"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n)"
_MAIL_NAME = r"(?a)(\w+)=3D"
_USUAL_CODE = r"(?a)=3D(?:[\w\-]{4}(?:!|%(?:25)*21)|[0-9A-Fa-f]{64}(?![0-9A-Fa-f]))"
_PARAMETER = re.compile(r"(?:\b|%(?:25)*(?:3F|26|23))(?:code|error)\s*=", re.IGNORECASE)
_ENCODED_PARAMETER = r"(?i)(?:\b|%(?:25)*(?:3F|26|23))(?:code|error)%(?:25)*3D"


def clean(text: str) -> tuple[str, int]:
    """Return the text without all that copying added, and how many layers of percent-encoding were undone.

    The layers are those around the whole address; a code's own are left.

    Examples:
        >>> clean("> [the page](https://ormco.com/?code=KY&#45;s%2521&amp;state=x)")
        ('"the page""https://ormco.com/?code=KY-s%2521&state=x"', 0)
    """
    text = _replaced(text, _BEFORE_ENTITIES)
    text = _from_mail(_from_html(text))
    text = _join_lines(tidy(_replaced(text, _BEHIND_ENTITIES)))
    return _from_links(_replaced(text, _EMPHASES))


def tidy(text: str) -> str:
    """Return the text without invisible marks, its white space and its quotes in one form each."""
    return text.replace("\r\n", "\n").translate(_TIDY)


def _replaced(text: str, rules: _Rules) -> str:
    for sign, pattern, replacement in rules:
        if sign in text:
            text = re.sub(pattern, replacement, text)
    return text


def _from_html(text: str) -> str:
    for _ in range(3):
        if "&" not in text or not re.search(_ENTITY, text):
            break
        import html

        text = re.sub(_ENTITY, lambda entity: html.unescape(entity[0]), text)
    return text


def _from_mail(text: str) -> str:
    """Undo quoted-printable, where it is certain that the text is in it."""
    if "=3D" not in text and not re.search(_SOFT_BREAK, text):
        return text
    if _is_mail_encoded(text):
        text = re.sub(_SOFT_BREAK, "", text)
        return re.sub(
            _MAIL_ESCAPES, lambda run: bytes.fromhex(run[0].replace("=", "")).decode("utf-8", "replace"), text
        )
    return re.sub(_SOFT_BREAK_IN_CODE, "", text)


def _is_mail_encoded(text: str) -> bool:
    if re.search(_NOT_MAIL_ENCODED, text):
        return False
    joined, soft_breaks = re.subn(_SOFT_BREAK, "", text)
    if "=3D" not in joined:
        return soft_breaks > 1
    # "code=3D…" may also be a code that begins with "3D".
    return (
        soft_breaks > 0
        or len(set(re.findall(_MAIL_NAME, joined))) > 1
        or bool(re.search(_USUAL_CODE, joined))
    )


def _join_lines(text: str) -> str:
    """Take out the line ends in what was wrapped at one width, so that its short last line is not lost."""
    words = re.split(r"(\s+)", text)
    first = 0
    while first < len(words) - 2:
        last = first
        while len(words[first]) >= _SHORTEST_LINE and _is_next_line(words, first, last + 2):
            last += 2
        if last > first:
            _join(words, first, last)
        first = last + 2
    return "".join(words)


def _is_next_line(words: list[str], first: int, index: int) -> bool:
    if index >= len(words):
        return False
    same_form = words[index - 1] == words[first + 1] and len(words[index]) == len(words[first])
    # The same line once more, or another answer, is not the next line.
    another = re.search(_HAS_CODE, words[index]) and re.search(_HAS_CODE, words[first])
    return same_form and words[index] != words[first] and not another


def _join(words: list[str], first: int, last: int) -> None:
    """Join neighbours of one length, the end of the line before them, and the rest behind them."""
    width, between = len(words[first]), words[first + 1]
    if last + 2 < len(words) and words[last + 1] == between and len(words[last + 2].rstrip(_TRIM)) <= width:
        last += 2
    line = "".join(words[:first][-_LONGEST_LINE:]).removesuffix(between).rpartition("\n")[2]
    if first and words[first - 1] == between == "\n" and len(line) == width:
        first -= 2
    words[first + 1 : last : 2] = [""] * ((last - first) // 2)


def _from_links(text: str) -> tuple[str, int]:
    layers = 0
    for _ in range(_MOST_ROUNDS):
        restored = restore_links(text)
        if restored == text and (_PARAMETER.search(text) or not re.search(_ENCODED_PARAMETER, text)):
            break
        if restored == text:
            restored = tidy(percent_decode(text))
            layers += 1
        text = restored
    return text, layers
