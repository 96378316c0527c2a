"""Random and mutated pastes: copied addresses and codes, damaged on the way."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.codes import BARE, FRAMES, HEX, LEGAL, OPAQUE, WRAPS, classic_codes, encoded, hex_codes
from tests.support.redirects import ACCEPTED, REFUSED

_ROWS = [row.values[0].text for row in (*ACCEPTED, *REFUSED)]
# Texts that are inserted before, inside and behind: marks, encodings, parts of addresses, other text.
_SIGNS = "\n \t\x00\x0b\x1c\x85\xa0\u200b\u2028\ufeff\U0001f600\U000e0100"
_WORDS = r"""
    % %2 %25 %0A %00 %22 %28 %E2%80%8B %F0%9F%98%80 =3D = 3D
    & &amp; &#33; &#150; &#xE0100; &hellip; ? # / // : @ .. … ,
    ( ) [ ] ' " < > <br> * ** _ ~~ \ ! !! + - ;
    code= error= state= &state=x access_denied %3Fcode%3D code%3D https:// www.
    https://ormco.com/?code= http://evil.example/ localhost [::1] [2001:db8::1] xn--rmco-55d.com
    https://www.google.com/url?q=https%3A%2F%2F https://urldefense.com/v3/__ __;JQ!!x$ ___
    é К ſ İ A AAAA IAAAA a(b)c thanks
"""
_PIECES = [*_SIGNS, "\r\n", "\x1b[0m", "=\n", "> ", *_WORDS.split(), "F" * 64, "0" * 43]
_codes = (
    classic_codes | hex_codes | st.sampled_from([HEX, OPAQUE, BARE]) | st.text(LEGAL, min_size=3, max_size=60)
)


@st.composite
def _framed(draw: st.DrawFn) -> str:
    """A code as it is somewhere, wrapped."""
    frame, wrap = draw(st.sampled_from(sorted(FRAMES))), draw(st.sampled_from(sorted(WRAPS)))
    return WRAPS[wrap](FRAMES[frame].format(encoded(draw(_codes), draw(st.integers(0, 4)))))


@st.composite
def pastes(draw: st.DrawFn) -> str:
    """Any paste: a known one, a code in some frame, or pieces; then changed at up to six places."""
    pieces = st.lists(st.sampled_from([*_PIECES, HEX, OPAQUE]), max_size=14).map("".join)
    text = draw(st.sampled_from(_ROWS) | _framed() | pieces)
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([1, 2, 5, 20, 100])))
        before, part, after = text[:start], text[start:end], text[end:]
        text = draw(
            st.sampled_from(
                [
                    before + draw(st.sampled_from(_PIECES)) + part + after,
                    before + after,
                    before + part * 2 + after,
                    before + encoded(part, 1) + after,
                    before + part.swapcase() + after,
                    before,
                ]
            )
        )
    return text
