"""The name of an error, and what it says by itself."""

from __future__ import annotations

import pytest

from connector.oauth.error_name import Outcome, error_name, meaning
from tests.support.responses import as_response, json_response


def named(body: object) -> str | None:
    """Return the name of the error in a response with this JSON."""
    return error_name(as_response(json_response(body, 400)))


@pytest.mark.parametrize(
    ("outcome", "names"),
    [
        (Outcome.DEAD, "code_expired consent_revoked old_grant code_not_found"),
        (Outcome.DOUBTFUL, "consent_required account_selection_required interaction_required login_required"),
        (Outcome.CLIENT, "bad_app deleted_application client_token_expired"),
        (Outcome.PASSING, "slow_down too_many_requests rate_limit request_throttled throttling"),
        (Outcome.LOST, "internal server_error internal_token_expired"),
        (None, "invalid_token_type bad_code_scope bad_csrf_token bad_auth_code old_header_token"),
        (None, "bad_code_method invalid_authorization unknown_consent token consent token_limit found"),
    ],
)
def test_a_name_has_the_meaning_of_its_words(outcome: Outcome | None, names: str) -> None:
    """The first line of the table that fits decides; a name that fits none needs the status."""
    assert {name: meaning(name) for name in names.split()} == dict.fromkeys(names.split(), outcome)


@pytest.mark.parametrize("key", ["error", "errors", "error_code", "errorCode", "error_codes", "Error_Type"])
@pytest.mark.parametrize("inner", ["code", "name", "type", "status", "reason", "message", "error"])
def test_a_name_is_found_under_the_keys_that_servers_use(key: str, inner: str) -> None:
    """A key of an error may have the name, or a table with it; of a list the first eight items count."""
    assert named({key: "no_idea"}) == named({key: [{inner: "no_idea"}]}) == "no_idea"
    assert named({inner: "invalid_grant"}) == named({key: [0] * 7 + ["invalid_grant"]}) == "invalid_grant"
    assert not named({key: [0] * 8 + ["invalid_grant"]})


@pytest.mark.parametrize(
    "text", ["invalidGrantError", "_invalid-grant_", "Invalid Grant Exception", "invalid.grant"]
)
def test_a_name_is_known_by_its_words(text: str) -> None:
    """Spelling, and what a language's exceptions end with, make no difference."""
    assert named({"error": text}) == "invalid_grant"


@pytest.mark.parametrize("text", ["AT-made-up.Secret1", "x" * 21, "a b c d e f g", "", 17])
def test_text_that_is_not_a_name_is_not_repeated(text: object) -> None:
    """Only what has the form of a name is one; the rest could be an echo of a secret."""
    assert not named({"error": text})


def test_a_name_is_looked_for_four_levels_deep() -> None:
    """An object in a list in an object has a name; what is deeper or nameless has none."""
    assert named({"error": [{"code": {"name": "invalid_grant"}}]}) == "invalid_grant"
    assert not named({"error": [[[{"name": "invalid_grant"}]]]})
    assert not named({"error": [[[["invalid_grant"]]], {"x": 1}]})
