"""Building the code page and the landing page."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from connector.redirect import table
from connector.web import code_page as builder
from connector.web.code_page import code_page, landing_page, parser_script
from connector.words import code_page_words

LANGUAGES = ["en", "de", "fr", "es", "it"]
WEB = Path(builder.__file__).parent


class Elements(HTMLParser):
    """The elements of a page, and the text in its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:  # inside a script or a style
            self.texts[self.cdata_elem] = self.texts.get(self.cdata_elem, "") + data


def placeholders(text: str) -> set[str]:
    """The names in braces."""
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("build", [code_page, landing_page])
def test_page_is_one_file(build: Any) -> None:
    """The page loads nothing: everything is inside, and its policy allows just that."""
    elements = Elements(build("https://ormco.com/"))
    [policy] = [
        attributes["content"] or ""
        for tag, attributes in elements.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        digest = b64encode(sha256(elements.texts[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    linked = [attributes.get(name) for _, attributes in elements.tags for name in ("src", "href", "action")]
    assert [link for link in linked if link] == ["data:,"]


def test_page_holds_its_settings_safely() -> None:
    """No setting can end the script that it is in."""
    html = code_page("https://ormco.com/</script><script>alert(1)//", ["<!--"])
    assert [tag for tag, _ in Elements(html).tags].count("script") == 1
    assert "<!--" not in html


def test_every_module_of_the_parser_is_in_the_page() -> None:
    """The parser's files mirror the package's modules, and all of them are in the page."""
    script = parser_script()
    for path in (WEB / "redirect").glob("*.js"):
        assert path.read_text("utf-8") in script
        mirrored = WEB.parent / "redirect" / f"{path.stem}.py"
        assert mirrored.exists() or path.stem == "text"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_its_words(language: str) -> None:
    """Each reason of a refusal has a sentence in each language, which mentions the same numbers."""
    refusals = table("refusals")
    spoken, english = refusals["words"][language], refusals["words"]["en"]
    assert spoken["facts"].keys() == refusals["reasons"].keys()
    assert spoken["hints"].keys() == {reason["hint"] for reason in refusals["reasons"].values()}
    for part in ("facts", "hints", "notes"):
        assert spoken[part].keys() == english[part].keys()
        for name, text in english[part].items():
            assert placeholders(spoken[part][name]) == placeholders(text), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_have_their_words(language: str) -> None:
    """Every text of the pages is there in each language."""
    spoken, english = code_page_words()[language], code_page_words()["en"]
    assert list(code_page_words()) == LANGUAGES
    assert spoken.keys() == english.keys()
    for name, text in english.items():
        assert placeholders(spoken[name]) == placeholders(text), name


def test_no_page_names_a_command() -> None:
    """The page never advises to run a command."""
    assert "ormco doctor" not in code_page("https://ormco.com/")
