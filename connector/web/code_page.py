"""Build the code page and the landing page: each one self-contained HTML file.

The parts are in the folders `page` (markup, style, behaviour) and `redirect` (the parser). They are joined
without compilation, so that the code a browser runs can be read in the file.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from string import Template

from connector.redirect import table
from connector.words import code_page_words

__all__ = ["code_page", "landing_page", "parser_script"]

_FOLDER = Path(__file__).parent
_TABLES = ("characters", "mail_gateways", "pages", "refusals")
# Each module uses only modules before it.
_MODULES = (
    "text",
    "refusals",
    "dotnetopenauth",
    "code",
    "address",
    "mail_gateways",
    "normalize",
    "find",
    "wrapping",
    "paste",
    "parse",
)


def code_page(redirect_uri: str, landing_hosts: Collection[str] = ()) -> str:
    """Return the page that extracts the code from a pasted text.

    Args:
        redirect_uri: the registered redirect URI; the code has to come from its host.
        landing_hosts: further hosts on which the browser may end.
    """
    return _page("code", redirect_uri, landing_hosts)


def landing_page(redirect_uri: str, landing_hosts: Collection[str] = ()) -> str:
    """Return the page for the redirect URI itself, which shows the code in its own address.

    Args:
        redirect_uri: the address of the page.
        landing_hosts: further hosts that may serve it.
    """
    return _page("landing", redirect_uri, landing_hosts)


def parser_script() -> str:
    """Return only the parser, as a script that defines `parseRedirect`, `Refusal` and `inWords`."""
    tables = {name: table(name) for name in _TABLES}
    # The commands are for terminals; the pages have other hints.
    tables["refusals"] = {key: value for key, value in tables["refusals"].items() if key != "commands"}
    modules = [(_FOLDER / "redirect" / f"{name}.js").read_text("utf-8") for name in _MODULES]
    return "\n".join([f"const TABLES = {_as_script(tables)};", *modules])


def _page(page: str, redirect_uri: str, landing_hosts: Collection[str]) -> str:
    settings = {"redirectUri": redirect_uri, "landingHosts": list(landing_hosts)}
    script = "\n".join(
        [
            '"use strict";',
            parser_script(),
            f"const WORDS = {_as_script(code_page_words())};",
            f"const SETTINGS = {_as_script(settings)};",
            _part("page.js"),
        ]
    )
    style = _part("page.css")
    # No network access, and no script or style other than these.
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    template = Template(_part("page.html"))
    return template.substitute(page=page, policy=policy, style=style, script=script)


def _part(name: str) -> str:
    return (_FOLDER / "page" / name).read_text("utf-8")


def _as_script(value: object) -> str:
    """Return a value as JavaScript that cannot end its own script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r"[<\u2028\u2029]", lambda sign: f"\\u{ord(sign[0]):04x}", text)


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
