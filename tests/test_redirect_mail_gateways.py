"""Undoing rewritten links."""

from __future__ import annotations

from base64 import b64encode

import pytest

from connector.redirect import table
from connector.redirect.mail_gateways import opaque_link_service, restore_links
from connector.redirect.parse import parse_redirect
from tests.support.codes import CODE, encoded

ADDRESS = f"https://ormco.com/?code={encoded(CODE, 2)}&state=zz9"
GATEWAYS = table("mail_gateways")
SOPHOS, PATH = "protection.sophos.com", next(iter(GATEWAYS["paths"]))
WRAPPED = encoded(ADDRESS, 1)


def code_in(text: str) -> str:
    """The code that is found in a text."""
    return parse_redirect(text, redirect_uri="https://ormco.com/").code


@pytest.mark.parametrize(("host", "parameter"), GATEWAYS["parameters"].items())
def test_every_service_with_a_parameter_is_undone(host: str, parameter: str) -> None:
    """The address is read from its parameter in any position, at the service and at its subdomains."""
    wrapped = WRAPPED
    if host == "protection.sophos.com":
        wrapped = b64encode(ADDRESS.encode()).decode()
    for name in (host, f"eu-1.{host}"):
        assert code_in(f"https://{name}/a/b?x=1&{parameter}={wrapped}&y=2") == CODE
    assert code_in(f"Hi <https://{host}/?{parameter}={wrapped}>, thanks") == CODE


@pytest.mark.parametrize("host", GATEWAYS["paths"])
def test_every_service_with_a_path_is_undone(host: str) -> None:
    """The address comes out of the path: encoded, half encoded, or between underscores."""
    assert code_in(f"https://{host}/1x-y/{WRAPPED}") == CODE
    assert code_in(f"https://{host}/v2/___{ADDRESS}___.YzJl") == CODE
    assert code_in(f"https://{host}/1x/https%3A/{ADDRESS.removeprefix('https:/')}") == CODE


@pytest.mark.parametrize("host", ["www.google.com", "google.de", "www.google.co.uk"])
@pytest.mark.parametrize("parameter", ["q", "url"])
def test_google_is_undone_in_every_country(host: str, parameter: str) -> None:
    """A redirect of Google's has its address in one of two parameters."""
    assert code_in(f"https://{host}/url?sa=D&{parameter}={WRAPPED}&ust=1") == CODE


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("https://urldefense.com/v3/__https://x.example/a*b**Bc__;ISMjIw!!m!s$", "https://x.example/a!b###c"),
        ("https://urldefense.com/v3/__https://x.example/a*b__;!!m!s$ y", "https://x.example/ab"),
        ("https://urldefense.com/v2/url?u=https-3A__x.example_-3Fa-3Db&d=1", "https://x.example/?a=b"),
        ("https://urldefense.com/v3/__https://x.example/a**Ab*c__;IyMh!!m!s$", "https://x.example/a##b!c"),
        ("https://google.com/url?q=https://x.example/?a=b", "https://x.example/?a=b"),
        (f"https://{PATH}/1x/https%3A%2F%2Fx.example%2F%3Fa%3D%2541", "https://x.example/?a=%41"),
        (f"https://{PATH}/1x/https://x.example/?a=%41", "https://x.example/?a=%41"),
        (f"https://{PATH}/1x/https%3A//x.example/?a=b", "https://x.example/?a=b"),
        (f"https://{SOPHOS}/?u=aHR0cHM6Ly94LmV4\nYW1wbGU_YT1i", "https://x.example?a=b"),
        (f"https://{SOPHOS}/?u=aHR0cHM6Ly94LmV4YW1wbGU=%0A", "https://x.example"),
        (f"https://{SOPHOS}/?u=aHR0cHM6Ly94LmV4YW1wbGX_", "https://x.example\ufffd"),
        (f"https://{SOPHOS}/?u=aHR0c&x=y", ""),
    ],
)
def test_real_address_takes_the_place_of_the_link(link: str, address: str) -> None:
    """The address in the link takes its place, with a break at both edges."""
    assert restore_links(f"see {link}").startswith(f'see "{address}"')


def test_nothing_is_added_to_the_real_address() -> None:
    """Behind an address that a link ends with there is nothing but the break."""
    for link in ("https://google.com/url?q=", f"https://{PATH}/1x/"):
        assert restore_links(f"{link}https%3A%2F%2Fx.example") == '"https://x.example""'


@pytest.mark.parametrize(
    "text",
    [
        "https://google.com.evil.example/url?q=https%3A%2F%2Formco.com%2F",
        "https://evil.example/google.com/url?q=https%3A%2F%2Formco.com%2F",
        "https://notfacebook.com/l.php?u=https%3A%2F%2Formco.com%2F",
        "https://urldefense.com/v3/nothing",
        "https://protect.checkpoint.com/nothing",
        "https://www.google.com/search?x=1",
    ],
)
def test_other_links_stay(text: str) -> None:
    """A link of an unknown service, and one without an address inside, is left as it is."""
    assert restore_links(text) == text


@pytest.mark.parametrize(("host", "service"), GATEWAYS["opaque"].items())
def test_service_that_keeps_the_address_is_named(host: str, service: str) -> None:
    """Services whose links hold nothing are known by name, at any subdomain."""
    assert opaque_link_service(host) == opaque_link_service(f"eu-1.{host}") == service
    assert opaque_link_service(f"not{host}") is None
