"""Synthetic authorization codes: made up from a seed or by Hypothesis, never a real one."""

from __future__ import annotations

import base64
import random
import re
import string
import struct
from collections.abc import Callable, Mapping
from urllib.parse import quote

from hypothesis import strategies as st

LETTERS = string.ascii_letters + string.digits + "-_"
MARKS = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


def classic_code(handle: str, signature: bytes, data: bytes) -> str:
    """A DotNetOpenAuth code: handle, "!", and the bag in web-safe base64 without padding."""
    size = len(data) + 1
    assert len(signature) == 32
    assert size % 16 == 1
    assert size > 32
    bag = struct.pack("<i", 32) + signature + struct.pack("<i", size) + b"\x01" + data
    return f"{handle}!{base64.urlsafe_b64encode(bag).decode().rstrip('=')}"


def made_up_code(seed: int, blocks: int = 14) -> str:
    """The same classic code at every run; 14 blocks give the usual 359 characters."""
    random_numbers = random.Random(seed)
    handle = "".join(random_numbers.choices(LETTERS, k=4))
    return classic_code(handle, random_numbers.randbytes(32), random_numbers.randbytes(16 * blocks))


CODE = f"Ab-9{made_up_code(1)[4:]}"
OTHER = made_up_code(2)
HEX = random.Random(3).randbytes(32).hex().upper()
OPAQUE = "Spl9lOBeZQQYbYS6WxSbIA"
BARE = "M.C5_BAY.2.U(abc)def-123"
# All characters that a query may have unencoded (RFC 3986 §3.4), except those that separate parameters.
LEGAL = LETTERS + ".~!$'()*,;:@/?"
STATE = "hT4_kq9-Zw2NfB7cLx0sVg"

# The codes by their names in data/redirects.toml.
NAMED = {
    "code": CODE,
    "other": OTHER,
    "hex": HEX,
    "opaque": OPAQUE,
    "bare": BARE,
    "state": STATE,
    "payload": CODE[5:],
    "payload_v2": CODE[5:].replace("-", "-2D").replace("_", "-5F"),
    "cut": CODE[:-14],
    "lost": CODE[:120] + CODE[121:],
    "doubled": CODE[:120] + CODE[119:],
    "collapsed": CODE.replace("AAAA", "AAA"),
    "lower": CODE.lower(),
    "upper": CODE.upper(),
    "bangless": CODE.replace("!", ""),
    "head": CODE[:170],
    "tail": CODE[170:],
}


def encoded(text: str, layers: int) -> str:
    """A text percent-encoded so many times."""
    for _ in range(layers):
        text = quote(text, safe="")
    return text


def filled(template: str) -> str:
    """A row's text with its codes: `{code2}` is the code percent-encoded twice."""
    pattern = rf"\{{({'|'.join(NAMED)})(\d?)\}}"
    return re.sub(pattern, lambda name: encoded(NAMED[name[1]], int(name[2] or 0)), template)


def pieces(text: str, length: int) -> list[str]:
    """A text cut into pieces of one length."""
    return [text[start : start + length] for start in range(0, len(text), length)]


handles = st.text(LETTERS, min_size=4, max_size=4)
# Realistic sizes; random bytes, because a code is encrypted.
classic_codes = st.builds(
    classic_code,
    handles,
    st.binary(min_size=32, max_size=32),
    st.sampled_from([176, 192, 208, 224, 240, 272, 448]).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
)
hex_codes = st.builds(
    lambda data, suffix: data.hex().upper() + suffix,
    st.binary(min_size=32, max_size=32),
    st.sampled_from(["", "-1"]),
)
states = st.text(LETTERS, min_size=22, max_size=64)

# The sources of a copied code: each function takes the encoded code and returns a text with it.
FRAMES = {
    "whole": "https://ormco.com/?code={}",
    "www": "http://www.ormco.com/en-us/?lang=en&code={}",
    "state": f"https://ormco.com/?state={STATE}&code={{}}",
    "fragment": f"https://ormco.com/#code={{}}&state={STATE}",
    "without scheme": "ormco.com/?code={}",
    "query": "?code={}",
    "parameter": "code={}",
    "half removed": "com/?code={}",
    "equals": "={}",
    "bare": "{}",
}
# The additions that copying makes around or inside the text.
WRAPS: Mapping[str, Callable[[str], str]] = {
    "nothing": lambda text: text,
    "spaces": lambda text: f"  {text}\r\n",
    "quotes": lambda text: f'"{text}"',
    "brackets": lambda text: f"<{text}>",
    "markdown": lambda text: f"[the page]({text})",
    "bold": lambda text: f"**{text}**",
    "sentence": lambda text: f"Hi Anna, this is what I got: {text} Thanks, Maria",
    "full stop": lambda text: f"Please use {text}.",
    "lines": lambda text: "\n".join(pieces(text, 76)),
    "quoted mail": lambda text: "> " + "\n> ".join(pieces(text, 70)),
    "soft hyphens": lambda text: "\u00ad".join(pieces(text, 9)),
    "byte order mark": lambda text: f"\ufeff{text}",
    "html": lambda text: text.replace("&", "&amp;").replace("!", "&excl;"),
    "twice": lambda text: f"{text}\n{text}",
}
