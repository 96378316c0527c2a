"""Cleaning a text that was copied: what is taken away, and how long that takes."""

from __future__ import annotations

import time

import pytest

from connector.errors import ConnectorError
from connector.redirect.normalize import normalize
from connector.redirect.parse import LONGEST_TEXT, parse_redirect
from tests.support.codes import CODE, HEX, OPAQUE

# Texts that are slow for a pattern that reads the same characters again and again.
PIECES = [
    *("~~x ", "**x ", "***a ", "__a ", "_?a ", "*a", "> ", "\\", "&#", "&amp;", "<br ", "\x1b[0", "=\n"),
    *("=3D", "a!", "a! ", "a ", "a\n", "! ", "%2 ", "%25", "2 5 ", "code=", "code ", "&state=a ", "code=a!"),
    *("https://", "https://a.", "a.", "a-a-", "www.google.com/url?q=", "urldefense.com/v3/__", "__;", "___"),
    *("?code=a(", "(", "[a](", "[1:", "'", "é(", "ab12CD34ef56GH78 ", "ab12CD34ef56GH7\n", "0", "\u200b"),
    *("F" * 64 + end for end in (" ", "/", "?x=")),
]


def seconds(piece: str, length: int) -> float:
    """Return how long it takes to refuse a text of one piece again and again."""
    text = (f"a! {piece}" + piece * (length // len(piece)))[:length]
    begun = time.process_time()
    with pytest.raises(ConnectorError):
        parse_redirect(text, redirect_uri="https://ormco.com/")
    return time.process_time() - begun


@pytest.mark.parametrize("piece", PIECES)
def test_the_time_to_read_a_text_grows_as_the_text_does(piece: str) -> None:
    """Eight times the text takes some eight times as long, not sixty-four times."""
    short = min(seconds(piece, LONGEST_TEXT // 32) for _ in range(2))
    assert seconds(piece, LONGEST_TEXT // 4) < 30 * max(short, 0.0005)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("**a** b ~~c~~ ***d***.", "a b c d."),
        ("**one two** three*", "one two three*"),
        ("~~a~~", "a"),
        ("**a* b", "**a* b"),
        ("a ** b", "a ** b"),
        ("_code=a_b_ _x_", "code=a_b _x_"),
        ("_https://x.example/?code=a__", "https://x.example/?code=a_"),
    ],
)
def test_emphasis_is_removed_in_pairs(text: str, cleaned: str) -> None:
    """Marks of emphasis are removed if they open and close; others may be a part of the code."""
    assert normalize(text) == (cleaned, 0)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("(code=a((b))c)", '"code=a((b))c"'),
        ("(x) ((code=a) code=b) code=c)d", '"x" ""code=a" code=b" code=c)d'),
        ("(code=a", '"code=a'),
        ("see) code=a", 'see" code=a'),
        ("('code=a(b)', 'x')", '""code=a(b)", "x""'),
        ("it's code=a'b", "it\"s code=a'b"),
        ("code=a(b\n)d (e)", 'code=a(b\n)d "e"'),
        ("http://[2001:db8::1]/?code=[a]", 'http://[2001:db8::1]/?code="a"'),
    ],
)
def test_brackets_of_a_value_stay(text: str, cleaned: str) -> None:
    """Brackets and apostrophes around an address are a break; those inside a code are its own."""
    assert normalize(text) == (cleaned, 0)


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("abcdefghijklmnop\r\nqrstuvwxyzabcdef\r\nghi.", "abcdefghijklmnopqrstuvwxyzabcdefghi."),
        ("abcdefghijklmnop qrstuvwxyzabcdef ghi", "abcdefghijklmnopqrstuvwxyzabcdefghi"),
        (
            "abcdefghijkl 123\nabcdefghijklmnop\nqrstuvwxyzabcdef",
            "abcdefghijkl 123abcdefghijklmnopqrstuvwxyzabcdef",
        ),
        (
            "abcdefghijklmnop\nqrstuvwxyzabcdef\nghijklmnopqrstuv.,",
            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv.,",
        ),
        (
            "abcdefghijklmnop\nqrstuvwxyzabcdef\nghijklmnopqrstuvw",
            "abcdefghijklmnopqrstuvwxyzabcdef\nghijklmnopqrstuvw",
        ),
        ("abcdefghijklmnop\nabcdefghijklmnop\nx", "abcdefghijklmnop\nabcdefghijklmnop\nx"),
        ("abcdefghijklmno\npqrstuvwxyzabcd\nghi", "abcdefghijklmno\npqrstuvwxyzabcd\nghi"),
        ("abcd!IAAAefghijk\nabcd!IAAAefghijl\nx", "abcd!IAAAefghijk\nabcd!IAAAefghijl\nx"),
        ("abcdefghijklmnop\nqrstuvwxyzabcdef ghi", "abcdefghijklmnopqrstuvwxyzabcdef ghi"),
        ("xx\nabcdefghijklmnop\nqrstuvwxyzabcdef", "xx\nabcdefghijklmnopqrstuvwxyzabcdef"),
        (
            "zz\nabcdefghijkl 123\nabcdefghijklmnop\nqrstuvwxyzabcdef",
            "zz\nabcdefghijkl 123abcdefghijklmnopqrstuvwxyzabcdef",
        ),
        (
            "abcdefghijkl 123 abcdefghijklmnop qrstuvwxyzabcdef",
            "abcdefghijkl 123 abcdefghijklmnopqrstuvwxyzabcdef",
        ),
        (
            "abcdefghijkl 12 abcdefghijklmnop\nqrstuvwxyzabcdef",
            "abcdefghijkl 12 abcdefghijklmnopqrstuvwxyzabcdef",
        ),
    ],
)
def test_lines_of_one_width_are_joined(text: str, joined: str) -> None:
    """Lines that were wrapped at one width are one word, with the short last one; others are not."""
    assert normalize(text) == (joined, 0)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (f"code=3D{CODE}", f"code={CODE}"),
        (f"code=3D{HEX}", f"code={HEX}"),
        (f"code=3D{OPAQUE}", f"code=3D{OPAQUE}"),
        ("code=3dab&state=3d=FF\udc80", "code=ab&state=\ufffd?"),
        ("code=3Dab=zz&state=3Dcd", "code=3Dab=zz&state=3Dcd"),
        ("code=3Dab a=41b x=\ny", "code=ab a=41b xy"),
        ("code=ABCDEFGHIJKLMNOP=\nQ", "code=ABCDEFGHIJKLMNOPQ"),
    ],
)
def test_quoted_printable_is_undone_if_it_is_certain(text: str, cleaned: str) -> None:
    """A word that a mail encoded is decoded; one that only looks a little like that is left."""
    assert normalize(text) == (cleaned, 0)


@pytest.mark.parametrize(
    ("entity", "character"),
    [
        ("&#45;", "-"),
        ("&#x2d;", "-"),
        ("&excl;", "!"),
        ("&hellip;", "…"),
        ("&shy;", ""),
        ("&nbsp;", " "),
        ("&amp;#33;", "!"),
        ("&nothing;", "&nothing;"),
        ("&#0;", "\ufffd"),
        ("&#150;", "–"),
        ("&#128;", "€"),
        ("&#129;", "\ufffd"),
        ("&#160;", " "),
        ("&#256;", "Ā"),
        ("&#9;&#10;&#13;", " \n\n"),
        ("&#32;", " "),
        ("&#31;", "\ufffd"),
        ("&#xD7FF;", "\ud7ff"),
        ("&#xD800;", "\ufffd"),
        ("&#xDFFF;", "\ufffd"),
        ("&#xE000;", "\ue000"),
        ("&#x10FFFF;&#x110000;", "\U0010ffff\ufffd"),
        ("&#147;", '"'),
        ("\x1b[31m", ""),
        ("<wbr>", ""),
        ("<BR />", "\n"),
        ("\r\n", "\n"),
    ],
)
def test_entities_are_undone(entity: str, character: str) -> None:
    """HTML entities are decoded, by number and by name; an unknown name stays. Colours and tags go."""
    assert normalize(f"a{entity}b") == (f"a{character}b", 0)
