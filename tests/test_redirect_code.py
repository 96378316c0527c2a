"""Undoing a code's encoding, and seeing damage in its structure."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import CodeDamagedError
from connector.redirect import code as authorization_code
from connector.redirect import dotnetopenauth
from connector.redirect.code import canonical_code, check_code, decode, dialog_form, encodes, recognise
from tests.support.codes import CODE, HEX, LETTERS, OPAQUE, classic_codes, encoded, hex_codes

PAYLOAD = CODE.index("!") + 1
WEB_SAFE = str.maketrans("+/", "-_")


def damage_of(code: str, code_format: str | None = None) -> CodeDamagedError:
    """The error that a damaged code leads to."""
    with pytest.raises(CodeDamagedError) as caught:
        check_code(code, code_format)
    assert "None" not in caught.value.message
    return caught.value


@given(classic_codes | hex_codes, st.integers(0, 4))
def test_decode_undoes_every_layer(code: str, layers: int) -> None:
    """A code comes back whole however often it was percent-encoded, if each letter was, too."""
    found, count = decode(encoded(code, layers))
    assert found == code
    assert count == (layers if "!" in code else 0)
    assert decode("".join(f"%{ord(letter):02x}" for letter in code)) == (code, 1)


def test_decode_ends_on_endless_layers() -> None:
    """A text that could be decoded for ever is left after a few layers."""
    _, layers = decode("%" + "25" * 30_000)
    assert layers == authorization_code.MOST_LAYERS


def test_dialog_form_is_encoded_once() -> None:
    """OrmcoDigital's dialog gets what the guide's manual steps end with."""
    assert dialog_form(CODE) == CODE.replace("!", "%21")
    assert dialog_form("4/0A ü\udc80") == "4%2F0A%20%C3%BC%3F"


@pytest.mark.parametrize(
    ("raw", "expected", "same"),
    [
        ("a%2520b", "a%20b", True),
        ("a%2520b", "a b", True),
        ("a b", "a b", True),
        ("a+b", "a b", False),
        ("a%25252520b", "a c", False),
        ("\udc80", "?", True),
        ("?", "\udc80", True),
        ("%" + "25" * authorization_code.MOST_LAYERS + "20", "%20", True),
        ("%" + "25" * authorization_code.MOST_LAYERS + "20", " ", False),
    ],
)
def test_a_value_is_compared_after_each_layer(raw: str, expected: str, same: bool) -> None:
    """However often a value was encoded it is found to be the expected one, and nothing else is."""
    assert encodes(raw, expected) is same


@given(classic_codes)
def test_check_accepts_a_whole_classic_code(code: str) -> None:
    """Every code that a DotNetOpenAuth server can issue is whole."""
    assert check_code(code) == check_code(code, "dotnetopenauth") == ("dotnetopenauth", True)
    assert check_code(code, "opaque") == ("unknown", None)
    assert dotnetopenauth.expected_length(code) == len(code)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (HEX, "identityserver"),
        (f"{HEX}-1", "identityserver"),
        (HEX[:43], "identityserver"),
        (HEX[:60], "unknown"),
        (OPAQUE, "unknown"),
        (CODE, "dotnetopenauth"),
        (CODE[:90], "dotnetopenauth"),
        (CODE.replace("!", ""), "dotnetopenauth"),
    ],
)
def test_recognise_returns_the_format(code: str, found: str) -> None:
    """A format is recognised from the code alone, damaged or not."""
    assert recognise(code) == found


@pytest.mark.parametrize(
    "code",
    [
        *(HEX, OPAQUE, "4/0Aq_made-up", "ab12+cd34"),
        *(f"{HEX}{HEX}", HEX[:60], f"{HEX[:20]}.{HEX[20:30]}.{HEX[30:]}", f"{HEX}-123"),
    ],
)
def test_check_passes_what_cannot_be_checked(code: str) -> None:
    """A code without a length of its own, of hex digits or others, passes, marked as unchecked."""
    assert check_code(code)[1] is None


@given(classic_codes, st.text(LETTERS, min_size=1, max_size=9), st.data())
def test_check_refuses_every_change_of_length(code: str, extra: str, data: st.DataObject) -> None:
    """A classic code that is cut short, or lost, doubled or got letters behind its handle, is refused."""
    damage_of(code[: data.draw(st.integers(1, len(code) - 1))])
    at = data.draw(st.integers(code.index("!"), len(code) - 1))
    damage_of(code[:at] + code[at + 1 :])
    damage_of(code[:at] + code[at] + code[at:])
    damage_of(code[: at + 1] + extra + code[at + 1 :])


@pytest.mark.parametrize(
    "damaged",
    [
        *(CODE.lower(), CODE.upper(), CODE.swapcase(), f"{CODE}…", f"{CODE}&state="),
        *(CODE.replace("!", other) for other in ("%21", "%2521", "%", "21", "2521", "!!")),
    ],
)
def test_check_refuses_changed_letters(damaged: str) -> None:
    """A changed case, leftover escapes and what does not belong to the code are seen."""
    damage_of(damaged)


@pytest.mark.parametrize(
    ("code", "says", "expected", "position"),
    [
        (CODE[:-14], "14 of its 359 characters are missing", 359, None),
        (CODE[:-1], "1 of its 359 characters is missing", 359, None),
        (CODE[:40], "only its first 40 characters", None, None),
        (CODE[:-2], "2 of its 359 characters are missing", 359, None),
        (CODE + "x", " 1 character too many", 359, 359),
        (CODE + "xy", " 2 characters too many", 359, 359),
        (f"A{CODE[4:-5]}", "5 of its 356 characters are missing", 356, None),
        (f"{CODE}!x", "character 360, which", 359, 359),
        (f"{CODE[:53]}!{CODE[53:]}", "character 54, which", 359, 53),
        (CODE.replace("IAAAA", "IAAA"), "before character 10", 359, 9),
        (CODE.replace("AAAA", "AAA")[:99], "before character 10", 359, 9),
        (CODE[:20] + CODE[21:], "before character", 359, PAYLOAD + 49),
        (CODE[:200] + "*" + CODE[201:], "character 201, which no code has there", 359, 200),
        (CODE.replace("!", ""), 'the "!" that belongs after the first 4 characters', None, 4),
        (CODE[2:].replace("!", ""), 'the "!" that belongs after the first 2 characters', None, 2),
        (CODE[3:].replace("!", ""), 'the "!" that belongs after the first character', None, 1),
        (CODE[4:], "there is nothing before", None, 0),
        (f"@{CODE}", "character 1, which", None, 0),
        (CODE[:-1] + "_", "character 359", 359, 358),
    ],
)
def test_damage_is_described_in_words_and_numbers(
    code: str, says: str, expected: int | None, position: int | None
) -> None:
    """The error has the number of missing characters or the position of the damage, and shows no code."""
    error = damage_of(code)
    assert says in error.message
    assert (error.length, error.expected_length, error.position) == (len(code), expected, position)
    assert code[5:15] not in f"{error.message}{error.hint}{error!r}"


@pytest.mark.parametrize("change", [-4, -3, -2, -1, 1, 2, 3, 4])
def test_the_length_is_read_although_letters_are_lost_or_doubled(change: int) -> None:
    """Up to four letters too few or too many in front of the length do not hide it."""
    code = CODE[:20] + CODE[20 - change :]
    assert damage_of(code).expected_length == 359


def sized(size: int, third: int = 0) -> str:
    """A code whose length field says a number of bytes, with the byte after the field's first two."""
    field = urlsafe_b64encode(bytes([size & 0xFF, size >> 8, third])).decode()[:3]
    return CODE[: PAYLOAD + 48] + field + CODE[PAYLOAD + 51 :]


@pytest.mark.parametrize(
    ("code", "length"),
    [
        (sized(225), 359),
        (sized(33), PAYLOAD + (4 * (40 + 33) + 2) // 3),
        (sized(8177), PAYLOAD + (4 * (40 + 8177) + 2) // 3),
        (sized(17), None),
        (sized(8193), None),
        (sized(226), None),
        (sized(225, third=0x40), None),
        (CODE[5:], None),
        (CODE[: PAYLOAD + 50], None),
    ],
)
def test_the_length_is_read_only_if_it_is_plausible(code: str, length: int | None) -> None:
    """No code is shorter than one block or longer than 8 KiB, and all are whole blocks and a byte."""
    assert dotnetopenauth.expected_length(code) == length


def test_a_code_breaks_where_its_first_wrong_character_is() -> None:
    """An impossible length, a sign in place of the handle, or the lack of the mark of a classic code."""
    assert damage_of(sized(17)).position == PAYLOAD + 48
    assert damage_of("aB9*def", "dotnetopenauth").position == 3
    assert "!" in damage_of(HEX, "dotnetopenauth").message


def test_a_code_of_endless_length_is_not_read() -> None:
    """A code of more than 4,096 characters is refused, whatever its format; one of 4,096 is not."""
    assert "not read" in damage_of("A1" * 2049).message
    assert check_code("A1" * 2048)[1] is None


@pytest.mark.parametrize("code", ["ab cd ef12", 'ab"cd12', "abcü12", "abc%zz12", "abc\x1b12"])
def test_white_space_and_quotes_damage_an_unknown_code(code: str) -> None:
    """White space, quotes and control characters are damage in a code of any format."""
    damage_of(code)


@pytest.mark.parametrize(
    ("code", "position"),
    [
        (f"{HEX}*", 64),
        (f"{HEX}-", 64),
        (f"{HEX.lower()}-1x", 64),
        (f"x{HEX}", 0),
        (f"{HEX[:30]}*{HEX[30:]}", 30),
        (f"{HEX.lower()[:30]}-{HEX.lower()[30:]}", 30),
    ],
)
def test_an_identityserver_code_with_a_character_too_many_is_damaged(code: str, position: int) -> None:
    """A character that was added to 64 hex digits, in front, inside or behind, is noticed."""
    assert damage_of(code).position == position


@pytest.mark.parametrize("handle", ["ab-1", "ab1", "stampNL001.Ab1x"])
def test_a_handle_of_another_length_is_no_damage(handle: str) -> None:
    """A handle of another length may be another server's; it is no reason to refuse."""
    assert check_code(handle + CODE[4:]) == ("dotnetopenauth", True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("abc!IA-_", "abc!IA+/"), ("abc!IA8", "abc!IA9"), ("abc!IQ", "abc!IR=="), ("x%41", "xA")),
        *(("abc!IAAA", f"abc{other}") for other in ("!IAAA=", "%21IAAA", "%2521IAAA%253D", "%21IAAA%3D")),
    ],
)
def test_canonical_code_is_one_for_all_spellings(one: str, other: str) -> None:
    """Padding, percent-encoding, the other alphabet, and bits that a decoder ignores make no other code."""
    assert canonical_code(one) == canonical_code(other)


@given(st.text(LETTERS + "+/", min_size=1, max_size=9).filter(lambda text: len(text) % 4 != 1))
def test_canonical_code_is_one_for_codes_that_decode_alike(payload: str) -> None:
    """Of all last letters, those share a form that decode to the same bytes, and no others."""
    forms: dict[bytes, set[str]] = {}
    for last in LETTERS:
        spelled = payload[:-1] + last
        forms.setdefault(urlsafe_b64decode(spelled.translate(WEB_SAFE) + "=="), set()).add(
            canonical_code(f"X!x!{spelled}")
        )
    assert [len(form) for form in forms.values()] == [1] * len(forms)
    assert len(set.union(*forms.values())) == len(forms)


@pytest.mark.parametrize("other", ["abc!IAAB", "abd!IAAA", "abc!iAAA", "abcIAAA", "abc!IAA"])
def test_canonical_code_keeps_codes_apart(other: str) -> None:
    """Another code has another form."""
    assert canonical_code(other) != canonical_code("abc!IAAA")
