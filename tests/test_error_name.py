"""The name of an error, and what it says by itself."""

from __future__ import annotations

import pytest

from connector.oauth.error_name import Outcome, error_name, meaning
from tests.support.answers import as_response, json_answer


def named(body: object) -> str | None:
    """Return the name of the error in a response with this JSON."""
    return error_name(as_response(json_answer(body, 400)))


@pytest.mark.parametrize(
    "name", ["token", "authorization", "consent", "token_limit", "grant_access", "found"]
)
def test_a_name_without_a_verdict_says_nothing(name: str) -> None:
    """A word for a token does not make it dead: a second word has to say so."""
    assert meaning(name) is None
    assert meaning(f"{name}_token_expired") is Outcome.DEAD


@pytest.mark.parametrize(
    "text", ["invalidGrantError", "_invalid-grant_", "Invalid Grant Exception", "invalid.grant"]
)
def test_a_name_is_known_by_its_words(text: str) -> None:
    """Spelling, and what a language's exceptions end with, make no difference."""
    assert named({"error": text}) == "invalid_grant"


@pytest.mark.parametrize("text", ["AT-made-up.Secret1", "x" * 21, "a b c d e f g", "", 17])
def test_what_could_be_anything_is_not_repeated(text: object) -> None:
    """Only what has the form of a name is one; the rest could be an echo of a secret."""
    assert not named({"error": text})


def test_a_name_is_looked_for_four_levels_deep() -> None:
    """An object in a list in an object has a name; what is deeper or nameless has none."""
    assert named({"error": [{"code": {"name": "invalid_grant"}}]}) == "invalid_grant"
    assert not named({"error": [[[{"name": "invalid_grant"}]]]})
    assert not named({"error": [[[["invalid_grant"]]], {"x": 1}]})
