"""Telling the place that the provider sends the browser back to from every other."""

from __future__ import annotations

import pytest

from connector.errors import WrongAddressError
from connector.redirect.address import redirect_target, wrong_address
from connector.redirect.parse import parse_redirect
from tests.support.codes import CODE, encoded

CODE2 = encoded(CODE, 2)


def parse(host: str, redirect_uri: str) -> str:
    """Return the code of an address with a host."""
    return parse_redirect(f"http://{host}/cb?code={CODE2}", redirect_uri=redirect_uri).code


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("zahnärzte.example", "xn--zahnrzte-3za.example"),
        ("ZAHNÄRZTE.example", "xn--zahnrzte-3za.example"),
        ("xn--ZAHNRZTE-3za.example", "zahnärzte.example"),
        ("ormco.com.", "ormco.com"),
        ("www.ormco.com", "ormco.com"),
        ("zahnärzte。example", "zahnärzte.example"),
        ("me@ormco.com", "ormco.com"),
        ("[::1]:8042", "[0:0:0:0:0:0:0:1]"),
        ("[2001:DB8::1]", "[2001:db8:0::1]"),
    ],
)
def test_one_host_in_two_forms_is_the_same_host(one: str, other: str) -> None:
    """A host is compared in one form: punycode, lower case, and what an IPv6 address means."""
    assert parse(one, f"https://{other}/landing") == CODE
    assert parse(other, f"https://{one}/landing") == CODE


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("[2001:db8::666]", "ormco.com"),
        ("[2001:db8::666]", "[2001:db8::667]"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("[not:an:address]", "ormco.com"),
        ("оrmco.com", "ormco.com"),
        ("xn--rmco-55d.com", "ormco.com"),
        ("ormco.com", "xn--rmco-55d.com"),
        ("localhost", "ormco.com"),
        ("2130706433", "127.0.0.1"),
        ("ormco%2ecom.evil.example", "ormco.com"),
        ("ormco.com:80@[2001:db8::666]", "ormco.com"),
    ],
)
def test_no_spelling_of_another_host_is_accepted(host: str, ours: str) -> None:
    """No way of writing another host makes it ours."""
    with pytest.raises(WrongAddressError):
        parse(host, f"https://{ours}/")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"https://{'a' * 52}.example/", f"{'a' * 52}.example"),
        (f"https://{'a' * 53}.example/", "…"),
        ("https://a\u200bb.example/", "a?b.example"),
        ("https//a.example/", "a.example"),
        ("//a.example/", "a.example"),
        (r"https:\\a.example\b", "a.example"),
        ("Link:https://a.example/", "a.example"),
        ("X.example/", "x.example"),
    ],
)
def test_a_foreign_host_is_shown_within_limits(address: str, shown: str) -> None:
    """A host that is named in an error is short, and has no character that could be another's look-alike."""
    assert f"an address of {shown}, not" in wrong_address(address).message


def test_the_error_page_is_recognised_with_more_slashes() -> None:
    """Slashes too many in front of a host change nothing, to a browser."""
    for address in ("https://staging.3shape.com/home/error?x", "https:////3shape.com/home/error"):
        assert wrong_address(address).kind == "provider_error_page"


def test_further_hosts_are_compared_in_the_same_form() -> None:
    """A further landing host is recognised however it is written."""
    target = redirect_target("https://ormco.com", ("ZAHNÄRZTE.example", "::1"))
    assert [target.other_host(part) for part in ("/cb.php", "rmco.com/")] == [None, None]
    assert target.other_host("http://xn--zahnrzte-3za.example/") is None
    assert target.other_host("http://[0:0::1]:80/") is None
