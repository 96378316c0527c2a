"""The code page's parser in a browser, beside `parse_redirect`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from connector.errors import ConnectorError
from connector.redirect.parse import parse_redirect
from connector.web.code_page import parser_script

if TYPE_CHECKING:
    from playwright.sync_api import Browser


REDIRECT_URI = "https://ormco.com/"
# Texts → for each text its result, or the kind and the message of its refusal.
Parser = Callable[[list[str]], list[Any]]

_EXPORTS = "Object.assign(window, {parseRedirect, Refusal, inWords});"
_READ_ALL = """texts => texts.map(text => {
  try {
    const {code, format, complete, layers, state, dialogCode} = parseRedirect(text, {redirectUri: "%s"});
    return [code, format, complete, layers, state && state.replace(/[^ -~]/g, ""), dialogCode];
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    return [refusal.kind, inWords(refusal, "en").fact];
  }
})"""


@contextmanager
def page_parser(browser: Browser) -> Iterator[Parser]:
    """Run the page's parser in a browser; one call for many texts."""
    with browser.new_context() as context:
        page = context.new_page()
        script = f'"use strict";\n{parser_script()}\n{_EXPORTS}'
        page.evaluate(f"window.eval({json.dumps(script)})")
        yield lambda texts: list(page.evaluate(_READ_ALL % REDIRECT_URI, texts))


def read_by_python(text: str) -> list[Any]:
    """Return what `parse_redirect` makes of a text, as the page's parser says it."""
    try:
        found = parse_redirect(text, redirect_uri=REDIRECT_URI)
    except ConnectorError as error:
        return [error.kind, error.message]
    # Our states are ASCII; the page does not show the state, and counts other characters differently.
    state = found.state and re.sub(r"[^ -~]", "", found.state)
    return [found.code, found.format, found.complete, found.layers, state, found.dialog_code]
