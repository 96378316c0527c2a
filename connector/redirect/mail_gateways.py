"""Undo what mail gateways, calendars and chats make of a link: their own address with the real one inside.

Only services that put the real address into their link can be undone without a network. Those that keep it on
their own servers are known by name, so that a person can be told.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64

from connector.redirect.code import percent_decode

__all__ = ["BREAK", "keeper_of", "restore_links"]

# Stands for what no address holds: a quote, a bracket, the edge of a restored link.
BREAK = '"'

_MOST_LINKS = 32

# End of the host → the parameter that holds the address.
_PARAMETERS = {
    "safelinks.protection.outlook.com": "url",
    "safelinks.protection.office365.us": "url",
    "safelinks.protection.partner.outlook.cn": "url",
    "outlook.office.com": "url",
    "outlook.office365.com": "url",
    "outlook.live.com": "url",
    "teams.cdn.office.net": "url",
    "teams.public.onecdn.static.microsoft": "url",
    "linkprotect.cudasvc.com": "a",
    "trendmicro.com": "url",
    "clicktime.symantec.com": "u",
    "fireeye.com": "u",
    "scanmail.trustwave.com": "u",
    "link.edgepilot.com": "u",
    "urlsand.esvalabs.com": "u",
    "protection.sophos.com": "u",
    "urldefense.com": "u",
    "urldefense.proofpoint.com": "u",
    "facebook.com": "u",
    "messenger.com": "u",
    "instagram.com": "u",
    "workplace.com": "u",
    "l.wl.co": "u",
    "slack-redir.net": "url",
    "linkedin.com": "url",
}
# These put it into the path.
_PATHS = ("secure-web.cisco.com", "protect.checkpoint.com", "url.avanan.click")
# The links of these hold nothing but a reference.
_KEEPERS = {
    "mimecast.com": "Mimecast",
    "mimecastprotect.com": "Mimecast",
    "emailprotection.link": "Intermedia",
    "hornetsecurity.com": "Hornetsecurity",
    "mailcontrol.com": "Forcepoint",
    "bit.ly": "Bitly",
    "lnkd.in": "LinkedIn",
    "t.co": "X",
    "tinyurl.com": "TinyURL",
}

_GOOGLE = r"google(?:\.[a-z]{2,3}){1,2}"
_HOSTS = "|".join([_GOOGLE, *map(re.escape, (*_PARAMETERS, *_PATHS))])
# White space inside may be line wrapping, so a link reaches to the next link or to a break. One that stands
# inside the address of an unknown service is left alone.
_LINK = (
    rf"(?i)(?<![\w.\-@/=:%])(?:https?://)?(?P<host>(?:[\w\-]+\.)*(?:{_HOSTS}))(?::\d+)?"
    rf"(?P<tail>[/?](?:(?!\shttps?://)[^{BREAK}])*)"
)
_PLAIN = r"(?i)https?:|www\."
_VALUE_END = r"[&#]\S*"
_V3 = r"(?sa)/v3/__(?P<url>.+?)__;(?P<kept>[\w\-=\s]*)!\S*"
_V3_MARK = r"(?a)\*(?:\*(?P<run>[\w\-]))?"
_V3_RUNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_UNDERSCORED = r"(?s)___(?P<url>.+?)___\S*"
_LAST_IN_PATH = r"(?si)/(?P<url>https?(?::|%3A).*)"


def restore_links(text: str) -> str:
    """Put the real address in the place of every rewritten link, one service deep.

    Examples:
        >>> restore_links("https://www.google.com/url?q=https%3A%2F%2Formco.com%2F%3Fcode%3Da%252521&sa=D")
        '"https://ormco.com/?code=a%2521""'
    """
    lower = text.lower()
    # Most texts have no such link; the pattern is slow to find that out.
    if not any(name in lower for name in ("google.", *_PARAMETERS, *_PATHS)):
        return text
    return re.sub(_LINK, _restore, text, count=_MOST_LINKS)


def keeper_of(host: str) -> str | None:
    """Return the name of the service whose links do not hold the real address, or None."""
    return next((name for end, name in _KEEPERS.items() if _is_at(host, end)), None)


def _restore(link: re.Match[str]) -> str:
    host, tail = link["host"].lower(), link["tail"]
    if any(_is_at(host, end) for end in _PATHS):
        inner = _from_path(tail)
    elif tail.startswith("/v3/"):
        inner = _from_proofpoint_v3(tail)
    else:
        inner = _from_parameter(host, tail)
    return link[0] if inner is None else f"{BREAK}{inner}{BREAK}"


def _from_parameter(host: str, tail: str) -> str | None:
    name = next((name for end, name in _PARAMETERS.items() if _is_at(host, end)), "q|url")
    found = re.search(rf"[?&](?:{name})=\s*", tail)
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
    # Some characters are kept aside, in base64; a "*" stands for each of them, "**A" for two, and so on.
    found = re.match(_V3, tail)
    if not found:
        return None
    kept = iter(_from_base64(found["kept"]))

    def give_back(mark: re.Match[str]) -> str:
        number = _V3_RUNS.index(mark["run"]) + 2 if mark["run"] else 1
        return "".join(next(kept, "") for _ in range(number))

    return re.sub(_V3_MARK, give_back, found["url"]) + BREAK + tail[found.end() :]


def _from_path(tail: str) -> str | None:
    if found := re.search(_UNDERSCORED, tail):
        inner, rest = found["url"], tail[found.end() :]
    elif found := re.search(_LAST_IN_PATH, tail):
        inner, rest = found["url"], ""
    else:
        return None
    if partly := re.match(r"(https?)%3A/(?!%)", inner, re.IGNORECASE):
        inner = f"{partly[1]}:/{inner[partly.end() :]}"
    return (inner if re.match(_PLAIN, inner) else percent_decode(inner)) + BREAK + rest


def _from_base64(value: str) -> str:
    letters = re.sub(r"[\s=]", "", value).translate(str.maketrans("-_", "+/"))
    try:
        return a2b_base64(letters + "=" * (-len(letters) % 4)).decode("utf-8", "replace")
    except Error:
        return ""


def _is_at(host: str, end: str) -> bool:
    return host == end or host.endswith(f".{end}")
