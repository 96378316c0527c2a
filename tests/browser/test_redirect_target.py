"""Which of the browser's requests go to the redirect URI."""

from __future__ import annotations

import pytest

from connector.browser.redirect_target import RedirectTarget, response_url
from connector.errors import SettingError

PROVIDER = "https://auth.example.test/oauth/authorise?redirect_uri=https://landing.test/"


def target_of(redirect_uri: str, provider: str = PROVIDER) -> RedirectTarget:
    return RedirectTarget.from_urls(redirect_uri, provider)


def rules(*hosts: str) -> str:
    return ", ".join(f"MAP {host} ~NOTFOUND, MAP {host}. ~NOTFOUND" for host in hosts)


@pytest.mark.parametrize(
    ("redirect_uri", "provider", "expected"),
    [
        ("https://landing.test/", PROVIDER, rules("landing.test", "www.landing.test")),
        ("https://www.landing.test", PROVIDER, rules("www.landing.test", "landing.test")),
        ("https://example.test/", "https://www.example.test/", rules("example.test")),
        ("https://münchen.test/", PROVIDER, rules("xn--mnchen-3ya.test", "www.xn--mnchen-3ya.test")),
        ("https://straße.test/", PROVIDER, rules("xn--strae-oqa.test", "www.xn--strae-oqa.test")),
        ("http://127.0.0.1:9000/cb", "http://127.0.0.1:8042/", "MAP 127.0.0.1:9000 ~NOTFOUND"),
        ("http://[::1]:9000/cb", "http://127.0.0.1:8042/", "MAP [::1]:9000 ~NOTFOUND"),
        ("http://localhost:9000/cb", PROVIDER, "MAP localhost:9000 ~NOTFOUND, MAP localhost.:9000 ~NOTFOUND"),
        ("http://127.0.0.1:8042/cb", "http://127.0.0.1:8042/oauth", ""),
        ("http://auth.example.test/cb", PROVIDER, ""),
    ],
)
def test_unreachable_hosts(redirect_uri: str, provider: str, expected: str) -> None:
    """A foreign host is cut off as a whole, one port on this machine, nothing of the provider's own."""
    assert target_of(redirect_uri, provider).resolver_rules == expected


@pytest.mark.parametrize(
    ("url", "held"),
    [
        ("https://landing.test/?code=1", True),
        ("http://LANDING.test:8080/anything", True),
        ("https://www.landing.test/favicon.ico", True),
        ("https://landing.test.:444/?code=1", True),
        ("https://user:word@landing.test/?code=1", True),
        (PROVIDER, False),
        ("https://landing.test@evil.test/?code=1", False),
        ("https://landing.test.evil.test/?code=1", False),
    ],
)
def test_requests_that_are_held(url: str, held: bool) -> None:
    """Every address of the landing host is held, and none that only looks like it."""
    assert target_of("https://landing.test/").covers(url) is held


@pytest.mark.parametrize(
    ("url", "held"),
    [
        ("http://127.0.0.1:8042/c%61llback?code=1", True),
        ("http://127.0.0.1:8042/callback", True),
        ("http://127.0.0.1:8042/callback2?code=1", False),
        ("http://127.0.0.1:8042/", False),
    ],
)
def test_requests_on_the_providers_own_host(url: str, held: bool) -> None:
    """If the provider serves the redirect URI itself, only that path is held."""
    assert target_of("http://127.0.0.1:8042/callback", "http://127.0.0.1:8042/authorize").covers(url) is held


def test_patterns_on_the_providers_own_host_are_literal() -> None:
    """Signs that mean something in DevTools' patterns are escaped."""
    shared = target_of("https://auth.example.test/a*b", PROVIDER)
    assert shared.patterns[:2] == ["http://auth.example.test/a\\*b*", "http://auth.example.test./a\\*b*"]


@pytest.mark.parametrize(
    ("url", "form", "location", "response"),
    [
        ("https://l.test/?code=a%27b", "", "https://l.test?code=a'b", "https://l.test?code=a'b"),
        ("https://l.test/?code=a%27b", "", "https://l.test/?code=other", "https://l.test/?code=a%27b"),
        ("https://l.test/?code=a", "", "/?code=a", "https://l.test/?code=a"),
        ("https://l.test/?code=a", "password=hush&code=b", None, "https://l.test/?code=a"),
        ("https://l.test/", "code=a%2521&state=b+c", None, "https://l.test/?code=a%2521&state=b%20c"),
        ("https://l.test/?t=0", "code=a", None, "https://l.test/?t=0&code=a"),
        ("https://l.test/#code=a", "", None, "https://l.test/#code=a"),
    ],
)
def test_response_url(url: str, form: str, location: str | None, response: str) -> None:
    """The header's own bytes win if they are the same address; a form becomes a query."""
    assert response_url(url, form, location) == response


@pytest.mark.parametrize(
    "redirect_uri",
    ["urn:ietf:wg:oauth:2.0:oob", "ormco://callback", "https:///x", "http://[::1", "http://a:b", ""],
)
def test_redirect_uri_that_is_not_an_address(redirect_uri: str) -> None:
    """An address that no browser can open is refused."""
    with pytest.raises(SettingError, match="redirect URI"):
        target_of(redirect_uri)
