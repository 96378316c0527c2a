"""Finding the end of a code among the words that follow it."""

from __future__ import annotations

import pytest

from connector.redirect.wrapping import find_code, has_sentence, without_sentence
from tests.support.codes import CODE, HEX, encoded


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (f"{CODE[:200]}\n{CODE[200:]}", CODE),
        (f"{CODE[:-4]} {CODE[-4:]} thanks", CODE),
        (f"{CODE[:2]} {CODE[2:4]} {CODE[4:]}", CODE),
        (f"{CODE[:340]}\n{CODE[340:]} Maria", CODE),
        (f"{CODE[:340]}\n{CODE[340:]}\nxQ7", f"{CODE}xQ7"),
        (f"{CODE[:340]}\n{CODE[340:]}\nxQ7,", f"{CODE}xQ7"),
        (f"{CODE[:200]}\n{CODE[200:]},\nthanks", CODE),
        (f"{CODE[:200]}\n{CODE[200:]}Q7x aB3d", f"{CODE}Q7x"),
        (f"_{CODE[:-5]}_", f"_{CODE[:-5]}_"),
        (CODE * 3, CODE),
        (f"{CODE}{CODE[:20]}", f"{CODE}{CODE[:20]}"),
        (f"__{CODE}__", CODE),
        (f"{CODE}.,;…", CODE),
        (f"{CODE})and(", CODE),
        (f"{CODE},thanks", f"{CODE},thanks"),
        (f"3D{CODE}", CODE),
        (f"{CODE[:4]}%25 2\n1{CODE[5:]}", CODE),
    ],
)
def test_a_classic_code_ends_where_its_length_says(value: str, code: str) -> None:
    """White space inside is undone, words of a sentence are left, and what was added is kept, as damage."""
    assert find_code(value)[0] == code


# A whole code whose last letters are also a word.
GOING = f"{CODE[:-5]}going"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (f"{GOING[:-5]} going", GOING[:-5]),
        (f"{GOING[:-5]} go ing", GOING[:-5]),
        (f"{GOING[:-4]} oing.", GOING[:-4]),
        (f"{GOING[:-15]} {GOING[-15:-5]} going", GOING[:-5]),
        (f"{GOING[:200]}\n{GOING[200:210]}\n{GOING[210:-5]} going home", GOING[:-5]),
        (f"{GOING[:-3]} ing home", GOING[:-3]),
        (f"{GOING[:200]}\n{GOING[200:-5]}\ngoing", GOING),
        (f"{GOING[:200]}\n{GOING[200:-5]} going home", GOING),
        (f"{GOING[:338]}\n{GOING[338:354]}\ngoing", GOING),
        (f"{GOING[:200]}\n{GOING[200:210]}\n{GOING[210:-5]} going", GOING),
        (f"{GOING[:-3]} ing.", GOING),
        (f"{GOING[:-3]} i ng", GOING),
        (f"{GOING[:-3]} ing 9x8", f"{GOING}9x8"),
    ],
)
def test_a_word_that_fits_ends_a_code_only_if_lines_were_wrapped(value: str, code: str) -> None:
    """A word of just the missing length ends a code only if lines were wrapped: it may begin a sentence."""
    assert find_code(value)[0] == code


@pytest.mark.parametrize("words", ["hello", "hello there", "hello. There", "thanks", "Maria Anna"])
@pytest.mark.parametrize("missing", [5, 10, 60])
def test_a_cut_short_code_is_not_filled_up(words: str, missing: int) -> None:
    """Words of a sentence never replace what a code has lost."""
    assert find_code(f"{CODE[:-missing]} {words}")[0] == CODE[:-missing]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (f"{HEX[:30]} {HEX[30:]} -1 thanks", f"{HEX}-1"),
        (f"{HEX} 12", HEX),
        (f"{HEX}.'", HEX),
        (f"({HEX})", HEX),
        (f"3D{HEX}-1", f"{HEX}-1"),
        (f"3D{HEX[2:]}", f"3D{HEX[2:]}"),
    ],
)
def test_an_identityserver_code_ends_with_its_digits(value: str, code: str) -> None:
    """The end of a code is found by its form, although nothing shows whether it is whole."""
    assert find_code(value)[0] == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("Spl9lOBeZQQYb YS6WxSbIA and more", "Spl9lOBeZQQYbYS6WxSbIA"),
        ("Spl9lOBeZQQYb thanks", "Spl9lOBeZQQYb"),
        ("Spl9lOBeZQQYb a1", "Spl9lOBeZQQYba1"),
        ("Spl9lOBeZQQYb Q7x9 thanks", "Spl9lOBeZQQYbQ7x9"),
        ("Spl9lOBeZQQYb and Q7x9", "Spl9lOBeZQQYb"),
        ("Spl9lOBeZQQYb (thanks!)", "Spl9lOBeZQQYb"),
        ("Spl9l(b\nZ)Q9Yb", "Spl9l(bZ)Q9Yb"),
        ("a'b(c).'", "a'b(c)"),
        ("3DSplx", "3DSplx"),
        ("ab%25\n32cd34", "ab2cd34"),
        ("…abcdef", "abcdef"),
        ("ab%22cd", 'ab"cd'),
        ("", ""),
    ],
)
def test_an_unknown_code_ends_where_words_begin(value: str, code: str) -> None:
    """A code without a length is joined only with parts that cannot be words."""
    assert find_code(value)[0] == code


def test_everything_before_the_next_parameter_is_code() -> None:
    """Between `code=` and the next parameter nothing is left out."""
    assert find_code(f"{CODE} x", more=True)[0] == f"{CODE}x"
    assert find_code(f"{HEX} thanks", more=True)[0] == f"{HEX}thanks"
    assert find_code(f"{HEX}.'", more=True)[0] == HEX
    assert find_code("a'b.", enclosed=True)[0] == "a'b."


def test_layers_are_those_of_the_code() -> None:
    """The layers are counted as they are undone; an opaque code has one."""
    assert find_code(encoded(CODE, 3)) == (CODE, 3)
    assert find_code("a%252520b", "opaque") == ("a%2520b", 1)
    assert find_code(f"3D{HEX}", "opaque") == (f"3D{HEX}", 0)
    assert find_code(f"({CODE})", "dotnetopenauth") == (CODE, 0)


@pytest.mark.parametrize(
    ("text", "is_sentence"),
    [("x", True), ("a b", True), ("Kx7 9a3b thanks", True), ("KY-s Ab9", False), ("KY7 abcd s8x", True)],
)
def test_a_sentence_has_words(text: str, is_sentence: bool) -> None:
    """Words of four letters, or one at the end, make a sentence; parts of a code do not."""
    assert has_sentence(text) is is_sentence


def test_a_state_ends_where_a_sentence_begins() -> None:
    """Words after the last parameter are not a part of it."""
    assert without_sentence("hT4_kq9-Zw Thanks, Maria") == "hT4_kq9-Zw"
    assert without_sentence('hT4_kq9-Zw" x') == "hT4_kq9-Zw"
    assert without_sentence("..XhT4_kq9-Zw..") == "..XhT4_kq9-Zw"
    assert without_sentence("XhT4_kq9-Zw") == "XhT4_kq9-Zw"
