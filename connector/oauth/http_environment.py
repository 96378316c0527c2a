"""The environment's settings for reaching a server: proxies and trusted certificate authorities."""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from requests.exceptions import InvalidProxyURL, InvalidSchema, SSLError
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3.util.ssl_ import create_urllib3_context

from connector.oauth.http_connection import SecureSocket
from connector.oauth.provider import is_loopback

__all__ = ["CA_SETTINGS", "PROXY_SETTINGS", "find_proxy", "is_http_proxy", "tls_context"]

CA_SETTINGS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXY_SETTINGS = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def find_proxy(origin: str, proxies: Mapping[str, str] | None) -> str | None:
    """Return the URL of the proxy for a server, or None if it is reached directly.

    Args:
        origin: scheme, host and port of the server.
        proxies: a caller's own, as for requests; None for the environment's.

    Raises:
        requests.exceptions.InvalidSchema: plain http to another machine.
        requests.exceptions.InvalidProxyURL: the proxy's address cannot be used.
    """
    if is_loopback(origin):
        return None
    if urlsplit(origin).scheme.lower() != "https":
        raise InvalidSchema("plain http is for this machine only")
    proxy = select_proxy(origin, dict(get_environ_proxies(origin) if proxies is None else proxies))
    if proxy is None:
        return None
    if not is_http_proxy(proxy):
        raise InvalidProxyURL("the proxy's address cannot be used")
    return proxy if "://" in proxy else f"http://{proxy}"


def is_http_proxy(proxy: str) -> bool:
    """Return whether a proxy's address can be used: a URL or a bare host, but no SOCKS proxy."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and not re.search(r"\s", proxy)


def tls_context(verify: Any, cert: Any) -> ssl.SSLContext:
    """Return the context for TLS.

    Args:
        verify: True for the environment's CA bundles, the path of another, or False to trust every server.
        cert: the client's certificate, as for requests.

    Raises:
        requests.exceptions.SSLError: a CA bundle or certificate cannot be read.
    """
    paths = [] if verify is False else _authorities(verify)
    changed = (os.stat(path).st_mtime_ns if os.path.exists(path) else 0 for path in paths)
    return _context(tuple(zip(paths, changed, strict=True)), cert)


def _authorities(verify: bool | str) -> list[str]:
    """Return the CA bundles to trust: the caller's own, or every one that the environment names.

    A machine may set a bundle for every program, and a user another one for this program.
    """
    *files, folder = (os.environ.get(name, "") for name in CA_SETTINGS)
    folders = list(filter(os.path.isdir, folder.split(os.pathsep))) or [folder]
    named = list(dict.fromkeys(filter(None, (*files, *folders))))
    if isinstance(verify, str) and verify not in named[:1]:
        return [verify]
    # requests' own sessions pass the first as `verify`. The others may name files that do not exist any more.
    return [*named[:1], *filter(os.path.exists, named[1:])] or [DEFAULT_CA_BUNDLE_PATH]


@functools.lru_cache(maxsize=16)
def _context(bundles: tuple[tuple[str, int], ...], cert: Any) -> ssl.SSLContext:
    """Return the context for CA bundles, each with the time of its last change; without any, trust all."""
    context = create_urllib3_context()
    context.sslsocket_class = SecureSocket
    if not bundles:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        for path, _ in bundles:
            context.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})
        if cert:
            file, key = (cert, None) if isinstance(cert, str) else cert
            context.load_cert_chain(file, key, password="")  # so that the ssl module does not prompt for one
    except OSError as exc:  # the ssl module's errors too
        raise SSLError("a file of certificates cannot be read") from exc
    return context
