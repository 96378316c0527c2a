"""Find the answers in a cleaned text: every `code=`, every `error=`, every code that stands alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from connector.redirect import dotnetopenauth
from connector.redirect.address import Landing
from connector.redirect.mail_gateways import BREAK

__all__ = ["MOST_ANSWERS", "Answer", "addresses_in", "find_answers"]

MOST_ANSWERS = 32

_MOST_WRAPS = 12
_LONGEST_ANSWER = 12_288
_NAMED = re.compile(
    r"(?:(?<![A-Za-z0-9_.\-])|(?<=%3F)|(?<=%26)|(?<=%23))(?P<name>code|error)\s*=", re.IGNORECASE
)
_BANG = r"(?:!+|%\s*(?:2\s*5\s*)*2\s*1)"
_BARE = rf"\s*{_BANG}\s*(?:[Ii]?(?:\s*[Aa]){{2}}|[A-Za-z0-9_\-]{{20}})"
_CLASSIC = rf"(?<![A-Za-z0-9_.\-])(?P<handle>[A-Za-z0-9_.\-]{{1,64}})(?={_BARE})"
_HEX = r"(?<![A-Za-z0-9_\-])(?:[0-9A-F]{64}|[0-9a-f]{64})(?=(?:-\d{1,3})?(?![A-Za-z0-9_\-]))"
_LINK = re.compile(r"(?<![=/:?&#])https?://", re.IGNORECASE)
_KNOWN_HOST = r"www\.|(?:[\w\-]+\.)*(?:3shape|3shapecommunicate|ormco|ormcodigital)\.com"
_ANY_LINK = rf"(?i)https?://[^\s?#]+|(?<![\w.@\-])(?:{_KNOWN_HOST})[^\s?#]*"
# White space, and behind it another answer: the same text once more, or another one.
_NEXT_ANSWER = re.compile(
    rf"(?<![&?])\s(?:[^\s&]*(?<![A-Za-z0-9_])code\s*=|(?:[^\s&]*[?#/])?(?:o?de)?=?[A-Za-z0-9_\-]{{4}}{_BANG}IAA)",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"[&#]\s*([A-Za-z_](?:\s?[A-Za-z0-9_.\-]){0,40})\s?=")
_END = re.compile(r"[&#]")
_LEFTOVER = r"(?i)(?:^|(?<=[?&#/]))(?:(?:(?:c?o)?d)?e)?=$"
_LABEL = r"(?s)(?:^|.*\W)[A-Za-z]+:"
_WHOLE_HEX = r"(?:[0-9A-F]{64}|[0-9a-f]{64})(?:-\d{1,3})?"
# Nobody types such a word.
_UNKNOWN = r"(?=.*\d)(?=.*[A-Za-z])(?!.*\.[A-Za-z]{2,}(?:/|$))[A-Za-z0-9_\-.~+/%]{16,}"


@dataclass(repr=False, eq=False, kw_only=True)
class Answer:
    """A code or an error, as it stands in a text.

    Attributes:
        name: "code" or "error".
        value: with its white space, and with the words behind it where no parameter follows.
        more: whether a parameter follows.
        address: what stands in front, up to the query.
        parameters: (name, value, whether another follows) of the others.
        stray: whether something stands in front of a bare code that does not belong there.
    """

    name: str
    value: str
    more: bool = False
    address: str = ""
    parameters: tuple[tuple[str, str, bool], ...] = ()
    stray: bool = False


def find_answers(text: str, landing: Landing) -> list[Answer]:
    """Return the answers in a text; more than MOST_ANSWERS are not looked for."""
    found: list[Answer] = []
    previous = ""
    for segment in text.split(BREAK):
        if len(found) > MOST_ANSWERS:
            break
        if not segment or segment.isspace():
            continue
        found += islice(_in_segment(segment, previous, landing), MOST_ANSWERS + 1)
        previous = segment
    return found or [Answer(name="code", value=value) for value in _hidden_in(text)]


def addresses_in(text: str) -> list[str]:
    """Return the addresses in a text, without their queries."""
    return [link[0] for link in islice(re.finditer(_ANY_LINK, text), MOST_ANSWERS)]


def _in_segment(segment: str, previous: str, landing: Landing) -> Iterator[Answer]:
    taken: list[range] = []
    for mark in _NAMED.finditer(segment):
        behind = segment[mark.end() : mark.end() + _LONGEST_ANSWER]
        taken.append(range(mark.end(), mark.end() + _reach(behind)))
        yield _named(
            mark["name"].lower(), segment[max(0, mark.start() - _LONGEST_ANSWER) : mark.start()], behind
        )
    for mark in re.finditer(_CLASSIC, segment) if "!" in segment or "%" in segment else ():
        if not any(mark.start() in known for known in taken):
            yield _bare(segment, mark, previous, landing)
    for mark in re.finditer(_HEX, segment):
        if not any(mark.start() in known for known in taken):
            answer = _bare(segment, mark, previous, landing)
            if not answer.stray:
                yield answer


def _reach(behind: str) -> int:
    """Return how far a code's first characters reach, so that it is not found once more as a bare one."""
    words = re.match(r"\s*(?:\S{1,4}\s+){0,4}\S*", behind)
    return words.end() if words else 0


def _named(name: str, before: str, behind: str) -> Answer:
    front = _front(before)
    value, parameters = _split(behind)
    address, _, query = front.partition("?") if "?" in front else front.partition("#")
    if not query and "=" in address:
        address, query = "", address
    earlier = [part.partition("=") for part in re.split(r"[?&#]", query) if "=" in part]
    return Answer(
        name=name,
        value=value,
        more=bool(parameters),
        address=address,
        parameters=(*((key, raw, True) for key, _, raw in earlier), *parameters),
    )


def _bare(segment: str, mark: re.Match[str], previous: str, landing: Landing) -> Answer:
    start, handle = _whole_handle(segment, mark)
    before = segment[max(0, start - _LONGEST_ANSWER) : start]
    front = _front(before)
    # "code=" without its "=".
    start += 4 if re.fullmatch(r"code[A-Za-z0-9_\-]{4}", handle, re.IGNORECASE) else 0
    value, parameters = _split(segment[start : start + _LONGEST_ANSWER])
    address, stray = _front_of_bare(front, landing)
    stray |= len(handle) < 4 and not _may_end_here(before, previous)
    return Answer(
        name="code",
        value=value,
        more=bool(parameters),
        address=address,
        parameters=parameters,
        stray=stray,
    )


def _whole_handle(segment: str, mark: re.Match[str]) -> tuple[int, str]:
    """Return where a handle begins that may be wrapped itself, and what it is."""
    start, handle = mark.start(), mark[0]
    while len(handle) < 4 and (
        part := re.search(r"[A-Za-z0-9_\-]{1,3}\s+$", segment[max(0, start - 40) : start])
    ):
        start, handle = start - len(part[0]), part[0].rstrip() + handle
    return (start, handle) if re.fullmatch(r"[A-Za-z0-9_\-]{4}", handle) else (mark.start(), mark[0])


def _may_end_here(before: str, previous: str) -> bool:
    """Tell whether a short handle may begin here, or what stands before it is the rest of the handle."""
    if not before:
        return re.search(r"[A-Za-z0-9_\-]$", previous) is None
    return re.search(r"(?:^|\s)(?:[A-Za-z]+[.,;:=]?\s+|(?:c?o?d?e)?=)$", before, re.IGNORECASE) is not None


def _front_of_bare(front: str, landing: Landing) -> tuple[str, bool]:
    """Return the address in front of a bare code, and whether there is something else in front."""
    rest = re.sub(_LEFTOVER, "", front).rstrip(".,;…")
    if "://" not in rest and (not rest or re.fullmatch(_LABEL, rest)):
        return "", False
    address, query = [*re.split(r"(?=[?#])", rest, maxsplit=1), ""][:2]
    is_address = "://" in address or "." in address or landing.ends_with(address)
    return address, not is_address or query[-1:] not in ("", "?", "&", "#")


def _front(before: str) -> str:
    """Return the part of an address that stands in front, over white space where a line was wrapped."""
    words = before.split()
    current = words.pop() if words and not before[-1:].isspace() else ""
    parts = ""
    for previous in islice(reversed(words), _MOST_WRAPS):
        if _continues(previous, parts + current):
            current, parts = previous + parts + current, ""
        elif _is_inside_query(previous, parts + current):
            parts = previous + parts
        else:
            break
    start = max((link.start() for link in _LINK.finditer(current)), default=0)
    return current[start:]


def _continues(previous: str, current: str) -> bool:
    if "://" in current or previous[-1] in ",;" or not re.search(r"://|^www\.|^https?:?$|[?&%]", previous):
        return False
    if not current:
        return previous[-1] in "?&#="
    if "?" in previous and "?" in current:
        return False
    return (
        current[0] in "?&#/=%:.-" or previous[-1] in "?&#/=%:.-_" or ("&" in current and "?" not in current)
    )


def _is_inside_query(previous: str, current: str) -> bool:
    return "&" in current and "?" not in current and re.fullmatch(r"[A-Za-z0-9_\-.~=]+", previous) is not None


def _split(behind: str) -> tuple[str, tuple[tuple[str, str, bool], ...]]:
    """Return the value at the beginning of a query, and the parameters behind it."""
    for end_of_answer in (_LINK, _NEXT_ANSWER):
        if found := end_of_answer.search(behind, len(behind) - len(behind.lstrip())):
            behind = behind[: found.start()]
    marks = list(islice(_PARAMETER.finditer(behind), MOST_ANSWERS))
    ends = [mark.start() for mark in marks[1:]] + [len(behind)]
    parameters = tuple(
        ("".join(mark[1].split()), _END.split(behind[mark.end() : end], maxsplit=1)[0], end != len(behind))
        for mark, end in zip(marks, ends, strict=False)
    )
    value = behind[: marks[0].start()] if marks else behind
    return _END.split(value, maxsplit=1)[0], parameters


def _hidden_in(text: str) -> Iterator[str]:
    """Yield what is a code without saying so: wrapped, without its "!", or of an unknown format."""
    for segment in filter(None, text.split(BREAK)):
        if re.fullmatch(_WHOLE_HEX, "".join(segment.split()).strip(".,;…=?")):
            yield segment.strip(" \n=?")
            return
    words = text.replace(BREAK, " ").split()
    for word in words:
        for part in re.split(r"[/?=&#]", word):
            if len(part) >= 40 and dotnetopenauth.looks_like(part):
                yield part
                return
    if len(words) == 1 and re.fullmatch(_UNKNOWN, word := words[0].lstrip("=?&#").rstrip(".,;…")):
        yield word
