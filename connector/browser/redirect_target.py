"""The redirect URI as the target of a browser's requests, and the response in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from connector.errors import SettingError
from connector.oauth.provider import is_loopback
from connector.redirect.address import ascii_host

__all__ = ["RedirectTarget", "has_response", "response_url", "response_values", "same_address"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectTarget:
    """The redirect URI, which a browser must not reach.

    Attributes:
        url: the redirect URI without its query, as a browser writes it.
        hosts: the host, also with or without `www.`, unless the provider or a local server uses that name.
        port: the only port that is blocked, or None for all of them.
        path: the path of the redirect URI.
        shared: whether the provider has the same host and port.
    """

    url: str
    hosts: tuple[str, ...]
    port: int | None
    path: str
    shared: bool

    @classmethod
    def from_urls(cls, redirect_uri: str, authorization_url: str) -> RedirectTarget:
        """Read the redirect URI; the host of the authorization URL has to stay reachable.

        Raises:
            connector.errors.SettingError: if a browser cannot be sent to the redirect URI.
        """
        target = _web_address(redirect_uri)
        (host, port), (provider, provider_port) = _origin(target), _origin(urlsplit(authorization_url))
        # The provider may use other ports of this host: then only this port is blocked.
        one_port = is_loopback(redirect_uri) or host == provider
        usual = {port, provider_port} <= set(_DEFAULT_PORTS.values())
        netloc = host if _DEFAULT_PORTS[target.scheme] == port else f"{host}:{port}"
        return cls(
            url=f"{target.scheme}://{netloc}{target.path or '/'}",
            hosts=(host,) if one_port else tuple(_twins(host, provider)),
            port=port if one_port else None,
            path=target.path or "/",
            shared=host == provider and (port == provider_port or usual),
        )

    @property
    def resolver_rules(self) -> str:
        """The value of `--host-resolver-rules` that makes the hosts unreachable; empty if `shared`."""
        if self.shared:
            return ""
        suffix = "" if self.port is None else f":{self.port}"
        return ", ".join(f"MAP {name}{suffix} ~NOTFOUND" for name in _spelled(self.hosts))

    @property
    def patterns(self) -> list[str]:
        """The URL patterns for DevTools' `Fetch`; they may match other addresses too, so `covers` decides."""
        path = self.path.translate({ord(sign): f"\\{sign}" for sign in "\\*?"}) if self.shared else "/"
        if self.port is None:
            rests = ["/*", ":*"]
        else:
            rests = [f"{path}*" if self.port in _DEFAULT_PORTS.values() else f":{self.port}{path}*"]
        # The scheme is spelled out: "*://host/*" would also match an address with this one in its query.
        schemes = [f"{scheme}://{user}" for scheme in _DEFAULT_PORTS for user in ("", "*@")]
        return [
            f"{scheme}{name}{rest}" for scheme in schemes for name in _spelled(self.hosts) for rest in rests
        ]

    def covers(self, url: str) -> bool:
        """Return whether a request to this address would reach the landing site."""
        host, port = _origin(urlsplit(url))
        if host not in self.hosts:
            return False
        return self.is_redirect_uri(url) if self.shared else self.port in (None, port)

    def is_redirect_uri(self, url: str) -> bool:
        """Return whether an address that is covered has the path of the redirect URI."""
        return unquote(urlsplit(url).path or "/") == unquote(self.path)


def response_url(url: str, form: str = "", location: str | None = None) -> str:
    """Return the redirect URL, raw.

    Args:
        url: the address of the request, its fragment included.
        form: the body of a POST; read only if the address contains no response, because after a 307 it
            is the previous page's form, with the password.
        location: the header of the redirect, if any. It is exact; Chromium writes `%27` for `'`.
    """
    if not has_response(url) and has_response("", form):
        # In a form "+" means a space; in an address it does not.
        return url + ("&" if "?" in url else "?") + form.replace("+", "%20")
    if location and location.isascii() and "://" in location and same_address(location, url):
        return location
    return url


def same_address(one: str, other: str) -> bool:
    """Return whether two addresses are equal apart from scheme, port and percent-encoding."""
    targets = [urlsplit(one), urlsplit(other)]
    first, second = (
        [_origin(each)[0], *map(unquote, (each.path or "/", each.query, each.fragment))] for each in targets
    )
    return first == second


def response_values(url: str, form: str = "") -> dict[str, list[str]]:
    """Return the parameters in the query and fragment of an address, and in a form."""
    target = urlsplit(url)
    return parse_qs("&".join((target.query, target.fragment, form)), keep_blank_values=True)


def has_response(url: str, form: str = "") -> bool:
    """Return whether there is a code or an error in an address or a form."""
    return not {"code", "error"}.isdisjoint(response_values(url, form))


def _web_address(redirect_uri: str) -> SplitResult:
    with suppress(ValueError):
        target = urlsplit(redirect_uri)
        if target.scheme in _DEFAULT_PORTS and target.hostname and target.port != 0:
            return target
    raise SettingError(
        "the redirect URI is not an http or https address, so no browser can be sent there",
        hint="Check ORMCO_REDIRECT_URI against the client's registration.",
    )


def _twins(host: str, provider: str) -> Iterator[str]:
    yield host
    twin = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
    if twin != provider and not host.replace(".", "").isdigit():
        yield twin


def _spelled(hosts: Iterable[str]) -> Iterator[str]:
    """Yield each host with and without a final dot: both lead to the same site."""
    for host in hosts:
        yield host
        if host[-1] not in "0123456789]":  # an IP address cannot have one
            yield f"{host}."


def _origin(target: SplitResult) -> tuple[str, int]:
    """Return host and port, as a browser writes them."""
    host = (target.hostname or "").rstrip(".")
    if ":" in host:
        host = f"[{host}]"
    elif not host.isascii():
        host = ascii_host(host)
    return host, target.port or _DEFAULT_PORTS.get(target.scheme, 0)
