"""Clean a text that a person copied: invisible marks, entities, mail encoding, quotes and brackets.

Afterwards white space is spaces and line feeds, and every quote or bracket around an address is a BREAK.
White space stays, because it may be a wrapped line or the end of a word; only the code shows which.
`characters.json` lists the spaces, marks, quotes and entities.
"""

from __future__ import annotations

import re
from functools import lru_cache

from connector.redirect import table
from connector.redirect.code import percent_decode
from connector.redirect.mail_gateways import BREAK, restore_links

__all__ = ["normalize", "one_form"]

_MOST_ROUNDS = 8
# Ordinary text has no neighbouring words of this length that are equally long.
_SHORTEST_LINE = 16
_LONGEST_LINE = 200
_TRIM = BREAK + ".,;…'"

_ENTITY = r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));"
_ANSI = r"\x1b\[[0-9;?]*[@-~]"
_BREAK_TAG = r"(?ai)<(w?)br *\/?>"
_ESCAPED = r"\\([!#%&*+.=?_~\-])"
_QUOTE_MARKS = r"(?m)^[ \t]*>[> \t]*"

_HAS_CODE = r"(?ai)code=|(?:!|%(?:25){0,8}21)IAA"
_SOFT_BREAK = r"=[ \t]*\n"
_SOFT_BREAK_IN_CODE = r"([A-Za-z0-9_%!\-]{16})=[ \t]*\n(?=[A-Za-z0-9_%\-])"
_NOT_MAIL_ENCODED = r"=(?![0-9A-Fa-f]{2})"
_MAIL_NAME = r"([A-Za-z0-9_]+)=3[Dd]"
_USUAL_CODE = r"=3[Dd](?:[A-Za-z0-9_\-]{4}(?:!|%(?:25){0,8}21)|(?:[0-9A-F]{64}|[0-9a-f]{64})(?![0-9A-Fa-f]))"
_PARAMETER = r"(?ai)(?:\b|%(?:25){0,8}(?:3F|26|23))(?:code|error) *="
_ENCODED_PARAMETER = r"(?ai)(?:\b|%(?:25){0,8}(?:3F|26|23))(?:code|error)%(?:25){0,8}3D"

# An encoded control character is not white space: it stays in the code, where it shows damage.
_BEFORE_CONTROL = r"[ \t-\r]+(?=[\x00-\x08\x0e-\x1f\x7f])"
_IPV6_OR_BRACKET = r"//\[[^\[\] \n]*\]|\[[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[\[\]]"
_VALUE = r"(?ai)(?:code|state)(?:=|%(?:25){0,8}3D)"
_WORD_ENDS = rf"([ \n{BREAK}]+)"
_EMPHASIS = r"(\*{1,3}|~~)(?![*~])"
_EMPHASIS_END = r"(?<![*~])(\*{1,3}|~~)(?=[.,;…]*$)"
# A bare code may begin with an underscore of its own.
_UNDERSCORED = r"(?ai)^(_{1,3})((?:https?:|\?|code=).*)\1([.,;…]*)$"


def normalize(text: str) -> tuple[str, int]:
    """Return the text without the additions of copying, and the number of undone percent-encodings.

    Only layers around the whole address are undone; those of the code itself are kept.

    Examples:
        >>> normalize("> [the page](https://ormco.com/?code=KY&#45;s%2521&amp;state=x)")
        ('"the page""https://ormco.com/?code=KY-s%2521&state=x"', 0)
    """
    text = re.sub(_ANSI, "", text) if "\x1b" in text else text
    text = re.sub(_BREAK_TAG, lambda tag: "" if tag[1] else "\n", text) if "<" in text else text
    text = _from_html(text)
    text = _from_mail(one_form(text.replace("\r\n", "\n").translate(_controls())))
    text = re.sub(_ESCAPED, r"\1", text) if "\\" in text else text
    text = re.sub(_QUOTE_MARKS, "", text) if ">" in text else text
    return _from_links(_without_emphasis(_join_lines(_with_breaks(text))))


def one_form(text: str) -> str:
    """Return a text without invisible marks, and with its white space as spaces and line feeds."""
    return text.translate(_spaces_and_marks())


@lru_cache(maxsize=1)
def _controls() -> dict[int, None]:
    return dict.fromkeys(_listed("controls"))


@lru_cache(maxsize=1)
def _spaces_and_marks() -> dict[int, str | None]:
    return {
        **dict.fromkeys(_listed("invisible")),
        **dict.fromkeys(_listed("spaces"), " "),
        **dict.fromkeys(_listed("line_ends"), "\n"),
    }


def _listed(name: str) -> list[int]:
    """Return the code points of a list in `characters.json`, whose items are "00AD" or "2000-200A"."""
    edges = [item.split("-") for item in table("characters")[name]]
    return [point for edge in edges for point in range(int(edge[0], 16), int(edge[-1], 16) + 1)]


def _from_html(text: str) -> str:
    for _ in range(3):
        if "&" not in text or not re.search(_ENTITY, text):
            break
        text = re.sub(_ENTITY, _character, text)
    return text


def _character(entity: re.Match[str]) -> str:
    """Return the character of an HTML entity; an unlisted name stays as it is."""
    decimal, hexadecimal, name = entity.groups()
    if name:
        listed = table("characters")["entities"].get(name)
        return chr(int(listed, 16)) if listed else entity[0]
    point = int(decimal or "0") or int(hexadecimal or "0", 16)
    if 0x80 <= point < 0xA0:  # as browsers read it
        return bytes([point]).decode("cp1252", "replace")
    is_character = point in (9, 10, 13) or 0x20 <= point < 0xD800 or 0xE000 <= point <= 0x10FFFF
    return chr(point) if is_character else "\ufffd"


def _from_mail(text: str) -> str:
    """Undo quoted-printable encoding in words that certainly have it."""
    joined = re.sub(_SOFT_BREAK, "", text)
    has_soft_breaks = joined != text
    if "=3D" in joined or "=3d" in joined:
        from quopri import decodestring

        words = re.split(_WORD_ENDS, joined)
        encoded = [index for index, word in enumerate(words) if _is_mail(word, has_soft_breaks)]
        for index in encoded:
            words[index] = decodestring(words[index].encode("utf-8", "replace")).decode("utf-8", "replace")
        if encoded:
            return one_form("".join(words))
    return re.sub(_SOFT_BREAK_IN_CODE, r"\1", text) if has_soft_breaks else text


def _is_mail(word: str, has_soft_breaks: bool) -> bool:
    if "=3D" not in word.upper() or re.search(_NOT_MAIL_ENCODED, word):
        return False
    # "code=3D…" may also be a code that begins with "3D".
    return has_soft_breaks or len(set(re.findall(_MAIL_NAME, word))) > 1 or bool(re.search(_USUAL_CODE, word))


def _with_breaks(text: str) -> str:
    """Replace each quote and bracket around an address, but not inside it, by a BREAK.

    Parentheses and the apostrophe are legal in an address (RFC 3986 §2.2), so a code may have its own.
    """
    text = text.translate(dict.fromkeys(map(ord, table("characters")["quotes"]), BREAK))
    text = re.sub(_IPV6_OR_BRACKET, lambda found: found[0] if len(found[0]) > 1 else BREAK, text)
    if "(" not in text and ")" not in text and "'" not in text:
        return text
    words = re.split(_WORD_ENDS, text)
    opened, is_value = 0, False
    for index in range(0, len(words), 2):
        is_wrapped = is_value and words[index - 1] == "\n"
        front, rest = _split_at_value(words[index], is_wrapped=is_wrapped)
        is_value = is_wrapped or bool(rest)
        opened = max(0, opened + front.count("(") - front.count(")"))
        end = _end_of_own(rest, opened, "'" in front)
        opened = max(0, opened - rest[end:].count(")"))
        words[index] = _without_brackets(front) + rest[:end] + _without_brackets(rest[end:])
    return "".join(words)


def _split_at_value(word: str, *, is_wrapped: bool) -> tuple[str, str]:
    value = re.search(_VALUE, word)
    start = 0 if is_wrapped else value.end() if value else len(word)
    return word[:start], word[start:]


def _end_of_own(value: str, opened: int, quoted: bool) -> int:
    """Return the end of the parentheses and apostrophes that belong to a value."""
    own = 0
    for index, character in enumerate(value):
        if character == "'" and quoted:
            return index
        if character == "(":
            own += 1
        elif character == ")":
            if not own and opened:
                return index
            own = max(0, own - 1)
    return len(value)


def _without_brackets(text: str) -> str:
    return re.sub(r"[()']", BREAK, text)


def _without_emphasis(text: str) -> str:
    """Remove Markdown's emphasis: paired marks at the edges of words."""
    if "*" not in text and "_" not in text and "~~" not in text:
        return text
    words = re.split(_WORD_ENDS, text)
    open_at: dict[str, int] = {}
    for index in range(0, len(words), 2):
        begin, end = re.match(_EMPHASIS, words[index]), re.search(_EMPHASIS_END, words[index])
        if begin:
            open_at[begin[1]] = index
        if end and end[1] in open_at and (index > open_at[end[1]] or end.start() > len(end[1])):
            words[index] = words[index][: end.start()] + words[index][end.end() :]
            first = open_at.pop(end[1])
            words[first] = words[first][len(end[1]) :]
        words[index] = re.sub(_UNDERSCORED, r"\2\3", words[index])
    return "".join(words)


def _join_lines(text: str) -> str:
    """Remove the line ends in text that was wrapped at one width, so that its short last line is kept."""
    words = re.split(r"([ \n]+)", text)
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
    # The same line once more, or another authorization response, is not the next line.
    another = same_form and re.search(_HAS_CODE, words[index]) and re.search(_HAS_CODE, words[first])
    return same_form and words[index] != words[first] and not another


def _join(words: list[str], first: int, last: int) -> None:
    """Join neighbours of one length, the end of the line before them, and the rest after them."""
    width, between = len(words[first]), words[first + 1]
    if last + 2 < len(words) and words[last + 1] == between and len(words[last + 2].rstrip(_TRIM)) <= width:
        last += 2
    line = "".join(words[max(0, first - _LONGEST_LINE) : first])
    line = line.removesuffix(between).rpartition("\n")[2]
    if first and words[first - 1] == between == "\n" and len(line) == width:
        first -= 2
    words[first + 1 : last : 2] = [""] * ((last - first) // 2)


def _from_links(text: str) -> tuple[str, int]:
    layers = 0
    for _ in range(_MOST_ROUNDS):
        restored = restore_links(text)
        if restored == text and (re.search(_PARAMETER, text) or not re.search(_ENCODED_PARAMETER, text)):
            break
        if restored == text:
            restored = re.sub(_BEFORE_CONTROL, "", percent_decode(text))
            layers += 1
        text = _with_breaks(one_form(restored))
    return text, layers
