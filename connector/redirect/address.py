"""Is an address the one that the provider sends the browser back to? And if not, which page is it?"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from connector.errors import ConnectorError, ProviderErrorPageError, SettingError, WrongAddressError

__all__ = ["Landing", "landing_of", "wrong_address"]

_REDIRECT_URI = (
    r"(?i)[a-z][a-z0-9+.\-]*://(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^/?#:]+)(?::\d+)?(?P<path>[^?#]*)"
)
# A scheme, a label, or what a hurried deletion left of "https://".
_SCHEME = r"(?i)[a-z]{0,5}:?//+|[a-z][a-z0-9+\-]{0,30}:(?!\d)/*"

_START = "Open the link that asks for access again, press Allow access"
# Host and beginning of the path → which page that is, and what comes first there. The first that fits.
_PAGES = (
    ("", "/oauth/authori[sz]e|/connect/authorize", "3Shape's Authorize page", "Press Allow access there"),
    ("", "/user/applications", "3Shape's Applications page", _START),
    (r"portal\.3shapecommunicate\.com", "", "the 3Shape Communicate portal", _START),
    ("", "/account/login|/login", "a sign-in page", "Sign in there and press Allow access"),
    (r"(.+\.)?3shapecommunicate\.com", "", "a page of 3Shape Communicate", _START),
    (r"(.+\.)?3shape\.com", "", "a page of 3Shape", _START),
    (r"(.+\.)?ormcodigital\.com", "/.*profile", "OrmcoDigital's My Profile page", _START),
    (r"(.+\.)?ormcodigital\.com", "", "a page of OrmcoDigital", _START),
)


class Landing(NamedTuple):
    """The place that the provider sends the browser back to.

    Attributes:
        hosts: its hosts, without "www.".
        whole: its whole address.
    """

    hosts: frozenset[str]
    whole: str

    def other_host(self, address: str) -> str | None:
        """Return the host of an address that is another place, or None."""
        host = _host_in(address)
        here = not host or host.removeprefix("www.") in self.hosts
        if here or ("://" not in address and ("." not in host or self.ends_with(address))):
            return None
        return host

    def ends_with(self, address: str) -> bool:
        """Tell whether this is what a hurried deletion left of the whole address."""
        return self.whole.endswith(address.lower())


@lru_cache(maxsize=32)
def landing_of(redirect_uri: str, further_hosts: tuple[str, ...] = ()) -> Landing:
    """Return the place that a redirect URI names.

    Raises:
        connector.errors.SettingError: if it has no host.
    """
    parts = re.match(_REDIRECT_URI, redirect_uri)
    if not parts:
        raise SettingError(
            "the redirect URI is not an address with a host",
            hint="Set ORMCO_REDIRECT_URI or --redirect-uri to the registered one, such as https://ormco.com/",
        )
    names = [name.lower().rstrip(".").removeprefix("www.") for name in (parts["host"], *further_hosts)]
    return Landing(hosts=frozenset(names), whole=f"https://www.{names[0]}{parts['path'].lower() or '/'}")


def wrong_address(address: str) -> ConnectorError:
    """Return the error for an address that is another place, saying which page it is where that is known."""
    from connector.redirect.mail_gateways import keeper_of

    host, path = _host_in(address), _path_in(address)
    if path.startswith("/home/error"):
        return ProviderErrorPageError(
            "this is 3Shape's own error page: it does not accept the application or its redirect URI",
            hint="Check the client id and the redirect URI with `ormco doctor`, then ask for access again",
        )
    if keeper := keeper_of(host):
        return WrongAddressError(
            f"this link was rewritten by {keeper}, which does not put the real address into it",
            hint="Open the page itself and copy the ENTIRE address from the browser's address bar",
        )
    for host_pattern, path_pattern, name, first in _PAGES:
        if (not host_pattern or re.fullmatch(host_pattern, host)) and re.match(path_pattern, path):
            return WrongAddressError(
                f"this is the address of {name}; the code is in the address of the page after it",
                hint=f"{first}, wait for Ormco's page, copy its ENTIRE address and paste that",
            )
    return WrongAddressError(
        f"this is an address of {_shown(host)}, not of the place that the code is sent to",
        hint=f"{_START}, wait for Ormco's page, copy its ENTIRE address and paste that",
    )


def _rest_of(address: str) -> str:
    """Return what follows the scheme, or nothing for a path without a host."""
    # To a browser a backslash is a slash.
    address = address.replace("\\", "/").lstrip(".,;…*~_")
    if "://" in address:
        return address.partition("://")[2]
    if address.startswith("/") and not address.startswith("//"):
        return ""
    scheme = re.match(_SCHEME, address)
    return address[scheme.end() :] if scheme else address


def _host_in(address: str) -> str:
    authority = _rest_of(address).lstrip("/").partition("/")[0].rpartition("@")[2]
    return re.sub(r":\d*$", "", authority).lower().rstrip(".")


def _path_in(address: str) -> str:
    return "/" + _rest_of(address).lstrip("/").partition("/")[2].lower()


def _shown(host: str) -> str:
    # Foreign text: it could hold a code, control characters, or look-alikes of letters.
    name = re.sub(r"[^a-z0-9.:\-]", "?", host)
    return name if len(name) <= 60 else "another place"
