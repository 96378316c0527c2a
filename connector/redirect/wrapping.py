"""Decide which of the words after `code=` belong to the code.

A copied code may be broken by white space anywhere, and words of a sentence may follow it, with the same
letters. A classic code contains its own length, which decides; a code of unknown length is joined only with
parts that cannot be words.
"""

from __future__ import annotations

import re

from connector.redirect import dotnetopenauth
from connector.redirect.code import decode, percent_decode, recognise
from connector.redirect.mail_gateways import BREAK
from connector.redirect.normalize import one_form

__all__ = ["find_code", "has_sentence", "without_sentence"]

# Characters that may surround a code without being a part of it.
_TRIM = ".,;…"
_TRIM_AFTER = _TRIM + "'"
_QUOTES_AND_BRACKETS = "[\"'()\\[\\]]"
_EDGES = _TRIM + "\"'`<>(){}[]«»‹›‘’‚‛“”„‟"
_WORD = r"[A-Za-z]?[a-z]*|[A-Z]{4,}|[a-z]+-[a-z]+|[0-9]{5,}|[\-_]+|[A-Za-z]+[.,;…]+"
_PUNCTUATION = "()',;:!?…*$"
_PART = r"[A-Za-z0-9_\-+/.~%!$&'()*,;:@=]+"
_CLASSIC_PART = r"[A-Za-z0-9_\-+/.~%]+=*"
_HEX = r"(?:[0-9A-F]{64}|[0-9a-f]{64})(?:-[0-9]{1,3})?"
_ESCAPE = r"%(?:[ \n]*2[ \n]*5){0,8}[ \n]*[0-9A-Fa-f][ \n]*[0-9A-Fa-f]"
_LONGEST_HEX = 70
_FULL_LINE = 16
_SHORTEST_SENTENCE = 4
_QUOTED_PRINTABLE = "3D"


def find_code(
    value: str, code_format: str | None = None, *, more: bool = False, enclosed: bool = False
) -> tuple[str, int]:
    """Return a code, all white space and layers undone, and the number of layers.

    Args:
        value: the text after `code=`, normalized, with its white space.
        code_format: the provider's, if it is known.
        more: whether another parameter follows, so that the whole value must be the code.
        enclosed: whether quotes or brackets are around the whole address, so that nothing is trimmed.
    """
    layers = decode(value, code_format)[1]
    # A code of a known format has no quotes or brackets of its own; the text after them is not part of it.
    known = [
        word.strip(_EDGES) for word in _decoded_words(re.sub(_QUOTES_AND_BRACKETS, BREAK, value), layers)
    ]
    joined = "".join(known)
    if code_format in (None, "dotnetopenauth") and dotnetopenauth.looks_like(joined):
        return _without_mail_mark(joined if more else _classic(known, joined)), layers
    found = _other(_decoded_words(value, layers), more=more or enclosed)
    if code_format == "opaque":
        return found, layers
    return _without_mail_mark(_identity_server([joined] if more else known) or found), layers


def without_sentence(value: str) -> str:
    """Return a parameter's value of unknown form, without the words that follow it."""
    return _other(_words(value, ""), more=False)


def has_sentence(text: str) -> bool:
    """Return whether a text contains words of a sentence, or no white space at all."""
    words = text.split()
    if len(words) < 2 or _is_word(words[-1]):
        return True
    return any(len(word) >= _SHORTEST_SENTENCE and _is_word(word) for word in words)


def _words(text: str, trim: str = _TRIM) -> list[str]:
    """Split at white space, without the punctuation around a code."""
    parts = [part for part in text.split(BREAK) if part.strip(_TRIM + " \n")]
    words = parts[0].split() if parts else []
    if words:
        words[0] = words[0].lstrip(trim)
    return [word for word in words if word]


def _decoded_words(value: str, layers: int) -> list[str]:
    """Split a value at its white space, then decode its words, so that encoded white space stays inside."""
    joined = re.sub(_ESCAPE, lambda escape: "".join(escape[0].split()), value) if "%" in value else value
    words = _words(joined, "…")
    for _ in range(layers):
        words = [percent_decode(word) for word in words]
    # When a wrapped address is opened, it contains encoded line ends and marks.
    return ["".join(one_form(word).split()) for word in words]


def _is_word(text: str) -> bool:
    return re.fullmatch(_WORD, text.strip(_PUNCTUATION)) is not None


def _without_mail_mark(code: str) -> str:
    """Remove the `3D` that quoted-printable adds after the `=`, if a code of a known format follows it."""
    if not code.startswith(_QUOTED_PRINTABLE):
        return code
    rest = code.removeprefix(_QUOTED_PRINTABLE)
    is_known = rest.find("!") == dotnetopenauth.USUAL_HANDLE or recognise(rest) == "identityserver"
    return rest if is_known else code


def _classic(words: list[str], joined: str) -> str:
    """Return a code that contains its length, cut to that length, damaged or not.

    Args:
        words: the words, without the punctuation around each.
        joined: all words joined.
    """
    words = _with_whole_handle(words)
    length = dotnetopenauth.expected_length(joined)
    if length is None:
        return _run(words)
    size = 0
    for index, word in enumerate(words):
        if index and not re.fullmatch(_CLASSIC_PART, word):
            break
        if size + len(word) == length:
            if _is_sentence(words, index):
                break
            return joined[:length] + _extra(words, index)
        size += len(word)
        if size > length:
            break
    return _twice(words[0], length) or _emphasized(words[0]) or _run(words, below=length)


def _with_whole_handle(words: list[str]) -> list[str]:
    begin = ""
    for count, word in enumerate(words, start=1):
        begin += word
        if "!" in word or dotnetopenauth.looks_like(begin):
            return [begin, *words[count:]]
    return words


def _extra(words: list[str], index: int) -> str:
    """Return the single last part after a wrapped code that is not a word: an addition to the code."""
    rest = words[index + 1 :]
    return rest[0] if index and len(rest) == 1 and not _is_word(rest[0]) else ""


def _twice(word: str, length: int) -> str | None:
    """Return a single copy of a code that was pasted several times in a row."""
    code = word[:length]
    return code if len(word) > length and code * (len(word) // length) == word else None


def _emphasized(word: str) -> str | None:
    """Return a code between underscores, Markdown's emphasis, without them."""
    marks = re.match(r"_{1,3}(?=.*_$)", word)
    inner = word[marks.end() : -marks.end()] if marks else ""
    return (
        inner if inner.find("!") == dotnetopenauth.USUAL_HANDLE and dotnetopenauth.is_whole(inner) else None
    )


def _run(words: list[str], below: int = 1 << 30) -> str:
    """Return the words that look like one code, up to and including the one that reaches a length."""
    run = words[0]
    for word in words[1:]:
        if len(run) >= below or re.fullmatch(_WORD, word) or not re.fullmatch(_CLASSIC_PART, word):
            break
        run += word
    return run


def _is_sentence(words: list[str], index: int) -> bool:
    """Return whether a code of the exact length was completed by a word of a sentence."""
    begin = index + 1
    while begin > 1 and re.fullmatch(_WORD, words[begin - 1]):
        begin -= 1
    letters = "".join(words[begin : index + 1])
    following = words[index + 1 : index + 2]
    if begin > 2 and not following:
        return False
    if len(letters) >= _SHORTEST_SENTENCE:
        lines = {len(word) for word in words[1:begin]}
        return not (len(lines) == 1 and lines.pop() >= _FULL_LINE)
    return bool(letters and following and re.fullmatch(_WORD, following[0]))


def _identity_server(words: list[str]) -> str:
    """Return the IdentityServer code at the beginning of the words, or "" if there is none."""
    joined, found = "", ""
    for word in words:
        joined += word
        if len(joined) > _LONGEST_HEX:
            break
        trimmed = joined.rstrip(_TRIM_AFTER)
        found = trimmed if re.fullmatch(_HEX, trimmed) else found
    return found


def _other(words: list[str], *, more: bool) -> str:
    """Return a value of unknown form."""
    if more or not words:
        return "".join(words)
    return "".join(words[: _end_of_value(words)]).rstrip(_TRIM_AFTER)


def _end_of_value(words: list[str]) -> int:
    """Return how many parts belong to a value of unknown form: most of them must not be words."""
    end, strange = 1, 0
    for count, word in enumerate(words[1:], start=1):
        if not re.fullmatch(_PART, word):
            break
        strange += not _is_word(word)
        if not _is_word(word) and strange * 2 > count and (len(word) >= 4 or count == len(words) - 1):
            end = count + 1
    return end
