"""The place the provider sends the browser back to, and which of the browser's requests go there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from connector.errors import SettingError
from connector.oauth.provider import is_loopback

__all__ = ["RedirectPlace", "answer_url", "answer_values", "carries_answer", "same_address"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectPlace:
    """The redirect URI, as seen from a browser that must not get there.

    Attributes:
        url: the redirect URI without query, as a browser writes it.
        hosts: the host; with its twin with or without `www.` where nothing else is reached at either.
        port: the only port that is ours to block, or None for all of them.
        path: the path of the redirect URI.
        shared: whether the provider itself is reached at the same host and port.
    """

    url: str
    hosts: tuple[str, ...]
    port: int | None
    path: str
    shared: bool

    @classmethod
    def from_urls(cls, redirect_uri: str, authorization_url: str) -> RedirectPlace:
        """Read the redirect URI; the authorization URL tells what has to stay reachable.

        Raises:
            connector.errors.SettingError: if a browser cannot be sent to the redirect URI.
        """
        target, provider = _web_address(redirect_uri), urlsplit(authorization_url)
        host, port, path = _host(target), _port(target), target.path or "/"
        foreign = host != _host(provider)
        # Another server of this machine may be part of the provider: only the one port is foreign.
        one_port = is_loopback(redirect_uri) or not foreign
        usual = {port, _port(provider)} <= set(_DEFAULT_PORTS.values())
        return cls(
            url=f"{target.scheme}://{_netloc(host, port, target.scheme)}{path}",
            hosts=(host,) if one_port else tuple(_twins(host, _host(provider))),
            port=port if one_port else None,
            path=path,
            shared=not foreign and (port == _port(provider) or usual),
        )

    @property
    def resolver_rules(self) -> str:
        """What `--host-resolver-rules` makes unreachable; empty where the provider shares the place."""
        if self.shared:
            return ""
        suffix = "" if self.port is None else f":{self.port}"
        return ", ".join(f"MAP {host}{suffix} ~NOTFOUND" for host in self.hosts)

    @property
    def patterns(self) -> list[str]:
        """The address patterns of DevTools' `Fetch` that cover the place; they may cover a little more."""
        # The scheme is spelled out: "*://host/*" would also fit an address that only quotes this one.
        return [
            f"{scheme}://{host}{rest}"
            for scheme in _DEFAULT_PORTS
            for host in self.hosts
            for rest in self._rests()
        ]

    def _rests(self) -> Iterator[str]:
        path = self.path.translate({ord(sign): f"\\{sign}" for sign in "\\*?"}) if self.shared else "/"
        if self.port is None:
            yield from ("/*", ":*")
        elif self.port in _DEFAULT_PORTS.values():
            yield f"{path}*"
        else:
            yield f":{self.port}{path}*"

    def holds(self, url: str) -> bool:
        """Return whether a request to this address would reach the landing site."""
        target = urlsplit(url)
        if _host(target) not in self.hosts:
            return False
        if self.shared:
            return self._has_path(target)
        return self.port is None or _port(target) == self.port

    def is_answer(self, url: str, form: str = "") -> bool:
        """Return whether a document that is asked for at this place brings the provider's answer.

        Args:
            url: the address, its fragment included.
            form: the body of a POST.
        """
        if carries_answer(url, form):
            return True
        return not self.shared and self._has_path(urlsplit(url))

    def _has_path(self, target: SplitResult) -> bool:
        return unquote(target.path or "/") == unquote(self.path)


def answer_url(url: str, form: str = "", location: str | None = None) -> str:
    """Return the redirect URL, raw.

    Args:
        url: the address of the request, its fragment included.
        form: the body of a POST; read only if the address itself holds no answer, because after a 307 it is
            the form of the page before, with the password.
        location: the header that led here, if any: exact to the byte, where Chromium changes `'` to `%27`.
    """
    if not carries_answer(url) and carries_answer("", form):
        # In a form "+" stands for a space; in an address it is itself.
        return url + ("&" if "?" in url else "?") + form.replace("+", "%20")
    if location and location.isascii() and "://" in location and same_address(location, url):
        return location
    return url


def same_address(one: str, other: str) -> bool:
    """Return whether two spellings are the same address, whatever the scheme and the percent-encoding."""
    return _spelled_out(urlsplit(one)) == _spelled_out(urlsplit(other))


def _spelled_out(target: SplitResult) -> tuple[str, ...]:
    return (_host(target), *map(unquote, (target.path or "/", target.query, target.fragment)))


def answer_values(url: str, form: str = "") -> dict[str, list[str]]:
    """Return the parameters of an address, from its query and fragment, and of a form."""
    target = urlsplit(url)
    return parse_qs("&".join((target.query, target.fragment, form)), keep_blank_values=True)


def carries_answer(url: str, form: str = "") -> bool:
    """Return whether there is a code or an error in an address or a form."""
    return not {"code", "error"}.isdisjoint(answer_values(url, form))


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


def _host(target: SplitResult) -> str:
    host = target.hostname or ""
    if ":" in host:
        return f"[{host}]"
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _port(target: SplitResult) -> int:
    return target.port or _DEFAULT_PORTS.get(target.scheme, 0)


def _netloc(host: str, port: int, scheme: str) -> str:
    return host if _DEFAULT_PORTS[scheme] == port else f"{host}:{port}"
