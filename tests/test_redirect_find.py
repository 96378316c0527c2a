"""Finding the responses in a text."""

from __future__ import annotations

import pytest

from connector.redirect.address import redirect_target
from connector.redirect.find import MOST_RESPONSES, addresses_in, find_responses
from tests.support.codes import CODE, HEX

TARGET = redirect_target("https://ormco.com/")


def fronts(text: str) -> list[tuple[str, str]]:
    """The name and the address of every response in a text."""
    return [(found.name, found.address) for found in find_responses(text, TARGET)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://a.example/b?x=1&code=z", "https://a.example/b"),
        ("https://a.example/b\n?code=z", "https://a.example/b"),
        ("https://a.exa\nmple/b?code=z", "https://a.example/b"),
        ("https://a.example/b-\nc?x=1&\ncode=z", "https://a.example/b-c"),
        ("https://a.example/?x=1&y\n=2&code=z", "https://a.example/"),
        ("https://a.example, b.example/?code=z", "b.example/"),
        ("https://a.example/ https://b.example/?code=z", "https://b.example/"),
        ("https://a.example/?u=https://b.example/?code=z", "https://a.example/"),
        ("a.example/#code=z", "a.example/"),
        ("https://a.example/?x=1\nAbc\nde&code=z", "https://a.example/"),
        ("https://a.example/?x=1 is, y=2&code=z", ""),
        ("https://a.example/b, /c?code=z", "/c"),
        ("www.a.example/b\n?code=z", "www.a.example/b"),
        ("https://a.example/?xy=1&\ncode=z", "https://a.example/"),
        ("https://a.example/b cd/?code=z", "cd/"),
        ("https://evil.EXA\nMPLE/b?code=z", "https://evil.EXAMPLE/b"),
        ("x=1&code=z", ""),
        ("see my code=z", ""),
        (f"https://a.example/x:{CODE}", "https://a.example/x:"),
        (f"Code:{CODE}", ""),
    ],
)
def test_address_in_front_is_found(text: str, address: str) -> None:
    """The address of a response is found across the white space of a wrapped line."""
    assert fronts(text) == [("code", address)]


def test_parameters_are_those_of_the_response() -> None:
    """Parameters in front and behind belong to it; those of the next response do not."""
    first, second = find_responses("?a=1&code=x&b=2#c=3 ?code=y&d=4", TARGET)
    assert first.parameters == (("a", "1", True), ("b", "2", True), ("c", "3", False))
    assert (second.value, second.parameters) == ("y", (("d", "4", False),))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (f"is {HEX}, ok", 1),
        (f"@{HEX} x", 0),
        (f"{CODE} {HEX}", 2),
        (f"error=a code={CODE}", 2),
        (f"code={HEX}", 1),
        (f"code=abc, or it may be this: {CODE}", 2),
    ],
)
def test_bare_codes_are_found(text: str, number: int) -> None:
    """A code without an address is found by its form, unless a character is directly before it."""
    assert len(find_responses(text, TARGET)) == number


SHORT = CODE[1:]  # its handle has 3 characters


@pytest.mark.parametrize(
    ("text", "stray"),
    [
        (SHORT, False),
        (f'x"{SHORT}', True),
        (f'9"{SHORT}', True),
        (f'Z"{SHORT}', True),
        (f'x "{SHORT}', False),
        (f"here: {SHORT}", False),
        (f"the code. {SHORT}", False),
        (f"x% {SHORT}", True),
        (f"={SHORT}", False),
        (f"x\node={SHORT}", False),
        (f"https://ormco.com/?{CODE}", False),
        (f"http://localhost/?{CODE}", False),
        (f"ormco.com/?{CODE}", False),
        (f"COM/?{CODE}", False),
        (f"zzz/?{CODE}", True),
        (f"evil.example/?{CODE}", False),
        (f"https://ormco.com/#{CODE}", False),
        (f"https://ormco.com/?a=1&{CODE}", False),
        (f"https://ormco.com/?a=1#{CODE}", False),
        (f"https://ormco.com/?x={CODE}", True),
        (f"https://ormco.com/?…{CODE}", False),
        (f"https://ormco.com/?*{CODE}", True),
    ],
)
def test_damage_before_a_bare_code_is_noticed(text: str, stray: bool) -> None:
    """A handle that may have lost its begin, and a query that does not end before the code, are damage."""
    (found,) = find_responses(text, TARGET)
    assert found.stray is stray


@pytest.mark.parametrize("handle", ["A\nb-9", "a\nB\n-9", "Ab \n-\n9"])
def test_a_handle_may_be_wrapped(handle: str) -> None:
    """Up to four characters before the "!" belong to the code, over white space."""
    (found,) = find_responses(f"see {handle}{CODE[4:]}&state=z", TARGET)
    assert found.value == handle + CODE[4:]
    assert (found.more, found.parameters) == (True, (("state", "z", False),))
    (other,) = find_responses(f"see it ab{CODE[4:]}", TARGET)
    assert (other.more, other.value) == (False, f"it ab{CODE[4:]}")


def test_address_between_quotes_is_enclosed() -> None:
    """An address in quotes is all of the text between them."""
    enclosed = [found.enclosed for found in find_responses('code=p"code=x" "code=y z"code=q', TARGET)]
    assert enclosed == [False, True, False, False]


def test_a_text_is_not_searched_without_end() -> None:
    """A text with very many codes, or addresses, is left after a few."""
    assert len(find_responses("code=x " * 200, TARGET)) == MOST_RESPONSES + 1
    assert len(find_responses('"code=x" ' * 200, TARGET)) == MOST_RESPONSES + 1
    assert len(addresses_in("https://a.example/ " * 200)) == MOST_RESPONSES
