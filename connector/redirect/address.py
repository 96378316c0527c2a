"""Compare an address with the redirect URI, and name the page if it is another known one."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from connector.errors import ConnectorError, SettingError

__all__ = ["RedirectTarget", "ascii_host", "redirect_target", "wrong_address"]

_REDIRECT_URI = (
    r"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^/?#:]+)(?::[0-9]+)?(?P<path>[^?#]*)"
)
# A scheme, a label, or the rest of a half-deleted "https://".
_SCHEME = r"[A-Za-z]{0,5}:?//+|[A-Za-z][A-Za-z0-9+\-]{0,30}:(?![0-9])/*"


class RedirectTarget(NamedTuple):
    """The target to which the provider sends the browser back.

    Attributes:
        hosts: its hosts in canonical form, without "www.".
        whole: its whole address.
    """

    hosts: frozenset[str]
    whole: str

    def has_host(self, host: str) -> bool:
        """Return whether a host belongs to this target, in any spelling."""
        return _canonical_host(host) in self.hosts

    def other_host(self, address: str) -> str | None:
        """Return the host of an address if it is another host, else None."""
        host = _host_in(address)
        if not host or self.has_host(host):
            return None
        # "com/?code=…" is a half-deleted address.
        is_host = "://" in address or "." in host or host.startswith("[") or host == "localhost"
        return host if is_host and not self.ends_with(address) else None

    def ends_with(self, address: str) -> bool:
        """Return whether this is the end of the whole address, as left by a partial deletion."""
        return self.whole.endswith(address.lower())


@lru_cache(maxsize=32)
def redirect_target(redirect_uri: str, further_hosts: tuple[str, ...] = ()) -> RedirectTarget:
    """Return the target that a redirect URI names.

    Raises:
        connector.errors.SettingError: if it has no host.
    """
    parts = re.match(_REDIRECT_URI, redirect_uri)
    if not parts:
        raise SettingError(
            "the redirect URI is not an address with a host",
            hint="Set ORMCO_REDIRECT_URI to the registered one, such as https://ormco.com/",
        )
    hosts = frozenset(map(_canonical_host, (parts["host"], *further_hosts)))
    path = parts["path"].lower() or "/"
    return RedirectTarget(
        hosts=hosts, whole=f"https://www.{parts['host'].lower().removeprefix('www.')}{path}"
    )


def wrong_address(address: str) -> ConnectorError:
    """Return the error for another address, naming the page if it is a known one."""
    from connector.redirect import table
    from connector.redirect.mail_gateways import opaque_link_service
    from connector.redirect.refusals import refused

    host, path = _host_in(address), _path_in(address)
    if path.startswith("/home/error"):
        return refused("provider_error_page")
    if service := opaque_link_service(host):
        return refused("opaque_link", service=service)
    for page in table("pages"):
        if re.fullmatch(page["host"], host) and re.match(page["path"], path):
            return refused(page["reason"])
    return refused("other_host", host=_shown(host))


def ascii_host(host: str) -> str:
    """Return an internationalized host as browsers write it (UTS 46); an invalid one stays as it is."""
    import idna

    with suppress(idna.IDNAError):
        return idna.encode(host, uts46=True).decode()
    return host


def _canonical_host(host: str) -> str:
    """Return the canonical form of a host: lower case, punycode, without "www." and a final dot."""
    host = host.lower().rstrip(".")
    if ":" in host:
        from ipaddress import IPv6Address

        with suppress(ValueError):
            return IPv6Address(host.strip("[]")).packed.hex()
    host = host if host.isascii() else ascii_host(host).rstrip(".")
    return host.removeprefix("www.")


def _rest_of(address: str) -> str:
    """Return the part after the scheme, or "" for a path without a host."""
    # A browser treats a backslash as a slash.
    address = address.replace("\\", "/").lstrip(".,;…*~_")
    if "://" in address:
        return address.partition("://")[2]
    if address.startswith("/") and not address.startswith("//"):
        return ""
    scheme = re.match(_SCHEME, address)
    return address[scheme.end() :] if scheme else address


def _host_in(address: str) -> str:
    authority = _rest_of(address).lstrip("/").partition("/")[0].rpartition("@")[2]
    return re.sub(r":[0-9]*$", "", authority).lower().rstrip(".")


def _path_in(address: str) -> str:
    return "/" + _rest_of(address).lstrip("/").partition("/")[2].lower()


def _shown(host: str) -> str:
    # Untrusted text: it could contain a code, control characters, or look-alikes of letters.
    name = re.sub(r"[^a-z0-9.:\[\]\-]", "?", host)
    return name if len(name) <= 60 else "…"
