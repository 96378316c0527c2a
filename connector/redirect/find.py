"""Find the responses in a normalized text: every `code=`, every `error=`, every code without a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from connector.redirect import dotnetopenauth
from connector.redirect.address import RedirectTarget
from connector.redirect.mail_gateways import BREAK

__all__ = ["MOST_RESPONSES", "FoundResponse", "addresses_in", "find_responses"]

MOST_RESPONSES = 32

_MOST_WRAPS = 12
_MOST_PARAMETERS = 64
_NAMED = re.compile(r"(?ai)(?:(?<![A-Za-z0-9_.\-])|(?<=%3F)|(?<=%26)|(?<=%23))(code|error)[ \n]*=")
_BANG = r"(?:!+|%[ \n]*(?:2[ \n]*5[ \n]*){0,8}2[ \n]*1)"
_BARE = rf"[ \n]*{_BANG}[ \n]*(?:(?:[Ii][ \n]*)?[Aa][ \n]*[Aa]|[A-Za-z0-9_\-]{{20}})"
_CLASSIC = rf"(?<![A-Za-z0-9_.\-])([A-Za-z0-9_.\-]{{1,64}})(?={_BARE})"
_HEX = r"(?<![A-Za-z0-9_\-])(?:[0-9A-F]{64}|[0-9a-f]{64})(?=(?:-[0-9]{1,3})?(?![A-Za-z0-9_\-]))"
_LINK = r"(?ai)(?<![=/:?&#])https?://"
_KNOWN_HOST = r"www\.|(?:[\w\-]+\.)*(?:3shape|3shapecommunicate|ormco|ormcodigital)\.com"
_ANY_LINK = rf"(?ai)https?://[^ \n?#]+|(?<![\w.@\-])(?:{_KNOWN_HOST})[^ \n?#]*"
# White space that is followed by another response: the same one again, or a different one.
_NEXT_RESPONSE = (
    r"(?ai)(?<![&?])[ \n](?:[^ \n&]*(?<![A-Za-z0-9_])code[ \n]*="
    rf"|(?:[^ \n&]*[?#/])?(?:o?de)?=?[A-Za-z0-9_\-]{{4}}{_BANG}IAA)"
)
_PARAMETER = r"[&#][ \n]*([A-Za-z_](?:[ \n]?[A-Za-z0-9_.\-]){0,40})[ \n]?="
_END = r"[&#]"
_LEFTOVER = r"(?ai)(?:^|(?<=[?&#/]))(?:c?o?d?e)?=$"
_LABEL = r"(?:^|[\s\S]*[^A-Za-z0-9_])[A-Za-z]+:"
_WHOLE_HEX = r"(?:[0-9A-F]{64}|[0-9a-f]{64})(?:-[0-9]{1,3})?"
# No ordinary text contains such a word.
_UNKNOWN = r"(?=.*[0-9])(?=.*[A-Za-z])(?!.*\.[A-Za-z]{2,}(?:/|$))[A-Za-z0-9_\-.~+/%]{16,}"


@dataclass(repr=False, eq=False, kw_only=True)
class FoundResponse:
    """A code or an error as found in a text.

    Attributes:
        name: "code" or "error".
        value: its text with white space, and with the words after it if no parameter follows.
        more: whether a parameter follows.
        address: the text in front of it, up to the query.
        parameters: (name, value, whether another follows) of each other parameter.
        stray: whether text that belongs to no address is in front of a bare code.
        enclosed: whether it is the whole text between two quotes or brackets.
    """

    name: str
    value: str
    more: bool = False
    address: str = ""
    parameters: tuple[tuple[str, str, bool], ...] = ()
    stray: bool = False
    enclosed: bool = False


def find_responses(text: str, target: RedirectTarget) -> list[FoundResponse]:
    """Return the responses in a text, MOST_RESPONSES at most."""
    found: list[FoundResponse] = []
    previous = ""
    segments = text.split(BREAK)
    for index, segment in enumerate(segments):
        if len(found) > MOST_RESPONSES:
            break
        if segment.strip(" \n"):
            inside = list(islice(_in_segment(segment, previous, target), MOST_RESPONSES + 1))
            if len(inside) == 1 and 0 < index < len(segments) - 1:
                inside[0].enclosed = not re.search(r"[ \n]", segment)
            found += inside
            previous = segment
    return found or [FoundResponse(name="code", value=value) for value in _hidden_in(text)]


def addresses_in(text: str) -> list[str]:
    """Return the addresses in a text, without their queries."""
    return [link[0] for link in islice(re.finditer(_ANY_LINK, text), MOST_RESPONSES)]


def _in_segment(segment: str, previous: str, target: RedirectTarget) -> Iterator[FoundResponse]:
    taken: list[range] = []
    for mark in _NAMED.finditer(segment):
        taken.append(range(mark.end(), mark.end() + _reach(segment, mark.end())))
        yield _named(mark[1].lower(), segment[: mark.start()], segment[mark.end() :])
    for mark in re.finditer(_CLASSIC, segment) if "!" in segment or "%" in segment else ():
        if not any(mark.start() in known for known in taken):
            yield _bare(segment, mark, previous, target)
    marks = (mark for mark in re.finditer(_HEX, segment) if not any(mark.start() in known for known in taken))
    # A text with this many hex numbers is not a response; each search takes time proportional to the text.
    for mark in islice(marks, MOST_RESPONSES + 1):
        found = _bare(segment, mark, previous, target)
        if not found.stray:
            yield found


def _reach(segment: str, start: int) -> int:
    """Return the end of a code's first characters, so that it is not found again as a bare code."""
    words = re.compile(r"[ \n]*(?:[^ \n]{1,4}[ \n]+){0,4}[^ \n]*").match(segment, start)
    return words.end() - start if words else 0


def _named(name: str, before: str, after: str) -> FoundResponse:
    front = _front(before)
    value, parameters = _split(after)
    address, _, query = front.partition("?") if "?" in front else front.partition("#")
    if not query and "=" in address:
        address, query = "", address
    earlier = [part.partition("=") for part in re.split(r"[?&#]", query) if "=" in part]
    return FoundResponse(
        name=name,
        value=value,
        more=bool(parameters),
        address=address,
        parameters=(*((key, raw, True) for key, _, raw in earlier), *parameters),
    )


def _bare(segment: str, mark: re.Match[str], previous: str, target: RedirectTarget) -> FoundResponse:
    start, handle = _whole_handle(segment, mark)
    before = segment[:start]
    # "code=" without its "=".
    start += 4 if re.fullmatch(r"(?ai)code[A-Za-z0-9_\-]{4}", handle) else 0
    value, parameters = _split(segment[start:])
    address, stray = _front_of_bare(_front(before), target)
    return FoundResponse(
        name="code",
        value=value,
        more=bool(parameters),
        address=address,
        parameters=parameters,
        stray=stray or (len(handle) < 4 and not _may_end_here(before, previous)),
    )


def _whole_handle(segment: str, mark: re.Match[str]) -> tuple[int, str]:
    """Return the start and the text of a handle that may itself be wrapped."""
    start, handle = mark.start(), mark[0]
    while len(handle) < 4 and (
        part := re.search(r"[A-Za-z0-9_\-]{1,3}[ \n]+$", segment[max(0, start - 40) : start])
    ):
        start, handle = start - len(part[0]), part[0].rstrip(" \n") + handle
    return (start, handle) if re.fullmatch(r"[A-Za-z0-9_\-]{4}", handle) else (mark.start(), mark[0])


def _may_end_here(before: str, previous: str) -> bool:
    """Return whether a short handle may begin here; otherwise the text before it belongs to the handle."""
    if not before:
        return re.search(r"[A-Za-z0-9_\-]\Z", previous) is None
    return (
        re.search(r"(?ai)(?:^|[ \n])(?:[A-Za-z]+[.,;:=]?[ \n]+|(?:c?o?d?e)?=)\Z", before[-200:]) is not None
    )


def _front_of_bare(front: str, target: RedirectTarget) -> tuple[str, bool]:
    """Return the address in front of a bare code, and whether other text is in front of it."""
    rest = re.sub(_LEFTOVER, "", front).rstrip(".,;…")
    if "://" not in rest and (not rest or re.fullmatch(_LABEL, rest)):
        return "", False
    address, query = [*re.split(r"(?=[?#])", rest, maxsplit=1), ""][:2]
    is_address = "://" in address or "." in address or target.ends_with(address)
    return address, not is_address or query[-1:] not in ("", "?", "&", "#")


def _front(before: str) -> str:
    """Return the part of an address in front of a code, across the white space of wrapped lines."""
    words = before.rsplit(None, _MOST_WRAPS + 1)
    current = words.pop() if words and before[-1:] not in " \n" else ""
    parts = ""
    for previous in islice(reversed(words), _MOST_WRAPS):
        if _continues(previous, parts + current):
            current, parts = previous + parts + current, ""
        elif _is_inside_query(previous, parts + current):
            parts = previous + parts
        else:
            break
    start = max((link.start() for link in re.finditer(_LINK, current)), default=0)
    return current[start:]


def _continues(previous: str, current: str) -> bool:
    is_begin = re.search(r"://|^www\.|^https?:?$|[?&%]", previous)
    if "://" in current or previous[-1] in ",;" or not is_begin:
        return False
    if not current:
        return previous[-1] in "?&#="
    if "?" in previous and "?" in current:
        return False
    at_edge = current[0] in "?&#/=%:.-" or previous[-1] in "?&#/=%:.-_"
    # The last part of a host, as in "https://evil.exa" and "mple/?code=…".
    is_host = re.search(r"://[^/?#]*$", previous) and re.match(r"[A-Za-z0-9\-]+[/?]", current)
    return at_edge or bool(is_host) or ("&" in current and "?" not in current)


def _is_inside_query(previous: str, current: str) -> bool:
    return "&" in current and "?" not in current and re.fullmatch(r"[A-Za-z0-9_\-.~=]+", previous) is not None


def _split(after: str) -> tuple[str, tuple[tuple[str, str, bool], ...]]:
    """Return the value at the beginning of a query, and the parameters after it."""
    for end_of_response in (_LINK, _NEXT_RESPONSE):
        if found := re.compile(end_of_response).search(after, len(after) - len(after.lstrip(" \n"))):
            after = after[: found.start()]
    marks = list(islice(re.finditer(_PARAMETER, after), _MOST_PARAMETERS))
    ends = [mark.start() for mark in marks[1:]] + [len(after)]
    parameters = tuple(
        (re.sub(r"[ \n]", "", mark[1]), re.split(_END, after[mark.end() : end])[0], end != len(after))
        for mark, end in zip(marks, ends, strict=False)
    )
    value = after[: marks[0].start()] if marks else after
    return re.split(_END, value)[0], parameters


def _hidden_in(text: str) -> Iterator[str]:
    """Yield codes that are not marked as such: wrapped, without the "!", or of an unknown format."""
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
