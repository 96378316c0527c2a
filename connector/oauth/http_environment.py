"""The environment's settings for reaching a server: proxies and trusted certificate authorities."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

__all__ = ["Way", "authority_settings", "find_way", "is_http_proxy", "proxy_setting"]

_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Proxies and certificate authorities for a server.

    Attributes:
        proxies: scheme → address, as for requests.
        verify: the first CA bundle that is set, or True for certifi's.
        further: the certificates of the other bundles that are set, in PEM form.
        folder: a folder of certificates that is set beside a bundle.
    """

    proxies: Any
    verify: bool | str
    further: str | None
    folder: str | None


def find_way(origin: str) -> Way:
    """Return the way to a server; every bundle that is set is trusted, not only the first.

    A machine may set a bundle for every program, and a user another one for this program.
    """
    asked = requests.Session().merge_environment_settings(origin, {}, None, None, None)
    named = list(dict.fromkeys(path for name in _AUTHORITIES if (path := os.environ.get(name))))
    others = named[1:]
    return Way(
        proxies=asked["proxies"],
        verify=named[0] if named else True,
        further="".join(map(_text, filter(os.path.isfile, others))) or None,
        folder=next(filter(os.path.isdir, others), None),
    )


def authority_settings() -> str:
    """Return the variables that name a CA bundle, or the variable to set if none does."""
    return " or ".join(filter(os.environ.get, _AUTHORITIES)) or "SSL_CERT_FILE"


def proxy_setting() -> str:
    """Return the name of the variable that names the proxy."""
    return next(filter(os.environ.get, _PROXIES), "the system's proxy setting")


def is_http_proxy(proxy: str) -> bool:
    """Return whether a proxy's address can be used: also a bare host, but no SOCKS proxy."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and not re.search(r"\s", proxy)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii", "ignore")
    except OSError:
        return ""
