"""Which of the words behind `code=` belong to the code?

A copied code may be broken by white space anywhere, and words of a sentence may follow it, which are made of
the same letters. A classic code knows its own length, and that decides; a code that tells nothing is joined
only with what cannot be a word.
"""

from __future__ import annotations

import re

from connector.redirect import dotnetopenauth
from connector.redirect.code import decode
from connector.redirect.mail_gateways import BREAK
from connector.redirect.normalize import tidy

__all__ = ["find_code", "has_sentence", "without_sentence"]

# What may stand around a code without being a part of it.
_TRIM = ".,;…"
_WORD = re.compile(r"[A-Za-z]?[a-z]*|[A-Z]{4,}|[a-z]+-[a-z]+|\d{5,}|[\-_]+|[A-Za-z]+[.,;…]+")
_PART = re.compile(r"[A-Za-z0-9_\-+/.~%]+=*")
_HEX = re.compile(r"(?:[0-9A-F]{64}|[0-9a-f]{64})(?:-\d{1,3})?")
_LONGEST_HEX = 70
_FULL_LINE = 16
_SHORTEST_SENTENCE = 4


def find_code(value: str, code_format: str | None = None, *, more: bool = False) -> tuple[str, int]:
    """Return a code, all white space and layers undone, and the number of layers.

    Args:
        value: what stands behind `code=`, cleaned, with its white space.
        code_format: the provider's, where it is known.
        more: whether another parameter follows, so that all of it must be the code.
    """
    text, layers = decode(value, code_format)
    words = _words(text)
    if not words:
        return "", layers
    joined = "".join(words)
    if code_format in (None, "dotnetopenauth") and dotnetopenauth.looks_like(joined):
        return joined if more else _classic(words, joined), layers
    return _other(words, more=more), layers


def without_sentence(value: str) -> str:
    """Return a decoded value that tells nothing about itself, without what follows it."""
    return _other(_words(value), more=False)


def has_sentence(text: str) -> bool:
    """Tell whether there are words of a sentence in a text, or no white space at all."""
    words = text.split()
    if len(words) < 2 or _WORD.fullmatch(words[-1]):
        return True
    return any(len(word) >= _SHORTEST_SENTENCE and _WORD.fullmatch(word) for word in words)


def _words(text: str) -> list[str]:
    """Split at white space, without what stands around a code."""
    parts = [part for part in tidy(text).split(BREAK) if part.strip(_TRIM + " \n")]
    words = parts[0].split() if parts else []
    if words:
        words[0] = words[0].lstrip(_TRIM)
    return [word for word in words if word]


def _classic(words: list[str], joined: str) -> str:
    """Return a code that knows its length, with no more of the words than that, damaged or not."""
    words = _with_whole_handle(words)
    length = dotnetopenauth.expected_length(joined)
    if length is None:
        return _run(words)
    size = 0
    for index, word in enumerate(words):
        if index and not _PART.fullmatch(word.rstrip(_TRIM)):
            break
        if size + len(word.rstrip(_TRIM)) == length:
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
    """Return the single last part that follows a wrapped code and is no word: the code has grown by it."""
    rest = words[index + 1 :]
    return rest[0].rstrip(_TRIM) if index and len(rest) == 1 and not _WORD.fullmatch(rest[0]) else ""


def _twice(word: str, length: int) -> str | None:
    """Return a code that was pasted several times in a row, once."""
    code = word[:length]
    return code if len(word) > length and code * (len(word) // length) == word else None


def _emphasized(word: str) -> str | None:
    """Return a code that stands between underscores, Markdown's emphasis, without them."""
    marks = re.match(r"_{1,3}(?=.*_$)", word)
    inner = word[marks.end() : -marks.end()] if marks else ""
    return inner if inner.find("!") == 4 and dotnetopenauth.is_whole(inner) else None


def _run(words: list[str], below: int = 1 << 30) -> str:
    """Return the words that look like one code, up to and with the one that reaches a length."""
    run = words[0]
    for word in words[1:]:
        if len(run) >= below or _WORD.fullmatch(word) or not _PART.fullmatch(word):
            break
        run += word
    return run.rstrip(_TRIM)


def _is_sentence(words: list[str], index: int) -> bool:
    """Tell whether a code that fits exactly was completed by a word of a sentence."""
    begin = index + 1
    while begin > 1 and _WORD.fullmatch(words[begin - 1]):
        begin -= 1
    letters = "".join(words[begin : index + 1]).rstrip(_TRIM)
    following = words[index + 1 : index + 2]
    if begin > 2 and not following:
        return False
    if len(letters) >= _SHORTEST_SENTENCE:
        lines = {len(word) for word in words[1:begin]}
        return not (len(lines) == 1 and lines.pop() >= _FULL_LINE)
    return bool(letters and following and _WORD.fullmatch(following[0]))


def _other(words: list[str], *, more: bool) -> str:
    """Return a value that tells nothing about itself."""
    if not words:
        return ""
    if more:
        return "".join(words)
    joined, found = "", ""
    for word in words:
        joined += word
        if len(joined) > _LONGEST_HEX:
            break
        found = joined.rstrip(_TRIM) if _HEX.fullmatch(joined.rstrip(_TRIM)) else found
    return found or "".join(words[: _end_of_value(words)]).rstrip(_TRIM)


def _end_of_value(words: list[str]) -> int:
    """Return how many parts belong to a value that tells nothing about itself: most must be no words."""
    end, strange = 1, 0
    for count, word in enumerate(words[1:], start=1):
        if not _PART.fullmatch(word):
            break
        strange += not _WORD.fullmatch(word)
        if not _WORD.fullmatch(word) and strange * 2 > count and (len(word) >= 4 or count == len(words) - 1):
            end = count + 1
    return end
