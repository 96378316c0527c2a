"""Undo the link rewriting of mail gateways, calendars and chats, which wrap the real address in their own.

Only links that contain the real address can be restored without a network. Services that keep it on their own
servers are listed by name, so that the error can name the service. Both are listed in
`mail_gateways.json`.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from functools import lru_cache

from connector.redirect import table
from connector.redirect.code import percent_decode

__all__ = ["BREAK", "opaque_link_service", "restore_links"]

# Represents a character that no address contains: a quote, a bracket, the edge of a restored link.
BREAK = '"'

_MOST_LINKS = 32

_GOOGLE = r"google(?:\.[a-z]{2,3}){1,2}"
_PLAIN = r"(?ai)https?:|www\."
_VALUE_END = r"[&#][^ \n]*"
_V3 = r"(?s)/v3/__(?P<url>.+?)__;(?P<kept>[A-Za-z0-9_\-= \n]*)![^ \n]*"
_V3_MARK = r"\*(?:\*([A-Za-z0-9_\-]))?"
_V3_RUNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_UNDERSCORED = r"(?s)___(?P<url>.+?)___[^ \n]*"
_LAST_IN_PATH = r"(?asi)/(?P<url>https?(?::|%3A).*)"
_HALF_ENCODED = r"(?ai)^(https?)%3A/(?!%)"


def restore_links(text: str) -> str:
    """Replace every rewritten link by its real address; undo the rewriting of one service only.

    Examples:
        >>> restore_links("https://www.google.com/url?q=https%3A%2F%2Formco.com%2F%3Fcode%3Da%252521&sa=D")
        '"https://ormco.com/?code=a%2521""'
    """
    lower = text.lower()
    gateways = table("mail_gateways")
    # Most texts have no such link, and a search for the pattern is slow.
    if not any(name in lower for name in ("google.", *gateways["parameters"], *gateways["paths"])):
        return text
    return re.sub(_links(), _restored, text, count=_MOST_LINKS)


def opaque_link_service(host: str) -> str | None:
    """Return the name of the service if its links do not contain the real address, else None."""
    services = table("mail_gateways")["opaque"].items()
    return next((name for end, name in services if _is_at(host, end)), None)


@lru_cache(maxsize=1)
def _links() -> re.Pattern[str]:
    gateways = table("mail_gateways")
    hosts = "|".join([_GOOGLE, *map(re.escape, (*gateways["parameters"], *gateways["paths"]))])
    # White space inside may be line wrapping, so a link extends to the next link or to a break. One that
    # is inside the address of an unknown service is left alone.
    return re.compile(
        rf"(?ai)(?<![\w.\-@/=:%])(?:https?://)?(?P<host>(?:[\w\-]+\.)*(?:{hosts}))(?::[0-9]+)?"
        rf"(?P<tail>[/?](?:(?![ \n]https?://)[^{BREAK}])*)"
    )


def _restored(link: re.Match[str]) -> str:
    host, tail = link["host"].lower(), link["tail"]
    if any(_is_at(host, end) for end in table("mail_gateways")["paths"]):
        inner = _from_path(tail)
    elif tail.startswith("/v3/"):
        inner = _from_proofpoint_v3(tail)
    else:
        inner = _from_parameter(host, tail)
    return link[0] if inner is None else f"{BREAK}{inner}{BREAK}"


def _from_parameter(host: str, tail: str) -> str | None:
    parameters = table("mail_gateways")["parameters"].items()
    name = next((name for end, name in parameters if _is_at(host, end)), "q|url")
    found = re.search(rf"[?&](?:{name})=[ \n]*", tail)
    if not found:
        return None
    value = tail[found.end() :]
    if re.match(_PLAIN, value):
        return value
    end = re.search(_VALUE_END, value)
    value, rest = (value[: end.start()], value[end.end() :]) if end else (value, "")
    if _is_at(host, "protection.sophos.com"):
        return _from_base64(percent_decode(value)) + BREAK + rest
    if tail.startswith("/v2/"):
        value = value.translate(str.maketrans("-_", "%/"))
    return percent_decode(value) + BREAK + rest


def _from_proofpoint_v3(tail: str) -> str | None:
    # Some characters are kept separately, in base64; a "*" stands for each of them, "**A" for two, and so on.
    found = re.match(_V3, tail)
    if not found:
        return None
    kept = iter(_from_base64(found["kept"]))

    def give_back(mark: re.Match[str]) -> str:
        number = _V3_RUNS.index(mark[1]) + 2 if mark[1] else 1
        return "".join(next(kept, "") for _ in range(number))

    return re.sub(_V3_MARK, give_back, found["url"]) + BREAK + tail[found.end() :]


def _from_path(tail: str) -> str | None:
    if found := re.search(_UNDERSCORED, tail):
        inner, rest = found["url"], tail[found.end() :]
    elif found := re.search(_LAST_IN_PATH, tail):
        inner, rest = found["url"], ""
    else:
        return None
    inner = re.sub(_HALF_ENCODED, r"\1:/", inner)
    return (inner if re.match(_PLAIN, inner) else percent_decode(inner)) + BREAK + rest


def _from_base64(value: str) -> str:
    letters = re.sub(r"[^A-Za-z0-9+/]", "", value.translate(str.maketrans("-_", "+/")))
    try:
        return a2b_base64(f"{letters}==").decode("utf-8", "replace")  # more padding than needed is no error
    except Error:
        return ""


def _is_at(host: str, end: str) -> bool:
    return host == end or host.endswith(f".{end}")
