"""The meaning of every kind of response of a token endpoint."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connector.errors import (
    Action,
    ClientRefusedError,
    CodeRefusedError,
    ConnectorError,
    GrantRefusedError,
    ProviderUnavailableError,
)
from connector.oauth.token_response import code_refusal, grant_refusal, granted, revocation_refusal
from connector.oauth.token_set import TokenSet
from tests.support.responses import as_response, json_response, raw_response

TOKENS = {"access_token": "AT-made-up", "refresh_token": "RT-made-up!2", "expires_in": 3600}
FORM = "application/x-www-form-urlencoded"
ECHO = "ab-1!IAAAAmadeUpC0de"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def outcome(given: bytes, what: str = "refresh") -> ConnectorError | TokenSet:
    """The result of a response to an exchange or a refresh."""
    response = as_response(given)
    try:
        tokens = granted(response, received_at=NOW)
    except ConnectorError as error:
        return error
    refused = {"exchange": code_refusal, "refresh": grant_refusal}[what]
    return tokens or refused(response, now=NOW.timestamp())


def revoked(given: bytes, hint: str = "refresh_token") -> ConnectorError | None:
    """The result of a response to a revocation."""
    return revocation_refusal(as_response(given), hint=hint, now=NOW.timestamp())


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (raw_response("<html>", 200), "A web page instead of a response"),
        (raw_response("\n <html>", 299), "A web page instead of a response"),
        (json_response({"x": 1}, 200), "Check the provider's addresses."),
        (raw_response("", 300), "set token_endpoint to the final one"),
        (raw_response("", 399), "set token_endpoint to the final one"),
        (raw_response("<html>", 400), "Try again in a few minutes"),
        (raw_response("<html>", 404), "Check the provider's addresses."),
        (raw_response("<html>", 405), "Check the provider's addresses."),
        (raw_response("<html>", 410), "Check the provider's addresses."),
        (raw_response("<html>", 406), "Try again in a few minutes"),
        (raw_response("<html>", 411), "Try again in a few minutes"),
        (json_response({"x": 1}, 502), "Try again in a few minutes"),
    ],
)
@pytest.mark.parametrize("what", ["exchange", "refresh"])
def test_a_response_that_is_of_no_use_has_its_own_advice(given: bytes, advice: str, what: str) -> None:
    """A proxy's page, a redirect, a wrong address and an outage have different remedies."""
    error = outcome(given, what)
    assert isinstance(error, ProviderUnavailableError)
    assert error.hint.startswith(advice) or advice in error.hint
    assert "None" not in f"{error.message} {error.hint}"


def test_a_full_response_becomes_a_token_set() -> None:
    """All that the provider granted is kept."""
    granted = TOKENS | {"scope": "openid api", "id_token": "a.b.c", "token_type": "bearer"}
    assert outcome(json_response(granted), "exchange") == TokenSet(
        access_token="AT-made-up",
        refresh_token="RT-made-up!2",
        received_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        scope="openid api",
        id_token="a.b.c",
    )


@pytest.mark.parametrize("what", ["exchange", "refresh"])
@pytest.mark.parametrize(
    "given",
    [
        json_response(TOKENS | {"expires_in": ["odd"], "scope": 7}),
        raw_response('{"access_token": "AT-made-up", "expires_in": ' + "9" * 6000 + "}"),
        json_response({"access_token": "AT-made-up"}),
        json_response(TOKENS | {"token_type": "BEARER"}),
        json_response(TOKENS | {"id_token": 5, "refresh_token": {"odd": 1}}),
        json_response(TOKENS | {"error": "invalid_grant"}),
        json_response(TOKENS | {"error": None}, 400),
        json_response(TOKENS, 201),
        raw_response('\ufeff{"access_token": "AT-made-up"}', Content_Type="text/html"),
        raw_response(b'{"access_token": "AT-made-up", "name": "caf\xe9"}', Content_Type="text/plain"),
        raw_response('{"access_token": "AT-made-up"}'.encode("utf-16")),
        raw_response('{"access_token": "AT-1", "access_token": "AT-made-up"}'),
        raw_response("access_token=AT-made-up&expires_in=3600&token_type=bearer", Content_Type=FORM),
        raw_response("access_token=AT-made-up&scope=a&scope=b\r\n", Content_Type=f"{FORM}; charset=utf-8"),
        raw_response("access_token=AT%2Dmade%2Dup&expires=5183999", Content_Type="text/plain;charset=UTF-8"),
    ],
    ids=lambda value: value.rpartition(b"\r\n")[2][:60].decode("latin-1"),
)
def test_a_granted_token_is_never_thrown_away(given: bytes, what: str) -> None:
    """The access token of a response is kept, however odd the rest is."""
    tokens = outcome(given, what)
    assert isinstance(tokens, TokenSet)
    assert tokens.access_token == "AT-made-up"


# The server may have rotated the tokens before the gateway answered.
LOST: dict[str, bytes] = {
    "504": raw_response("<h1>Gateway Timeout</h1>", 504, Content_Type="text/html"),
    "408": raw_response(status=408),
    "form, line break in the token": raw_response("access_token=AT%0D%0AX-Evil:1", Content_Type=FORM),
    "two access tokens": raw_response("access_token=AT-1&access_token=AT-2", Content_Type=FORM),
    "two refresh tokens": raw_response("access_token=A&refresh_token=1&refresh_token=2", Content_Type=FORM),
    "form with the content type of a page": raw_response("access_token=AT-1", Content_Type="text/html"),
    "form with too many fields": raw_response("access_token=AT-1" + "&x=1" * 100, Content_Type=FORM),
    "server error by name": json_response({"error": "server_error"}, 400),
    "unknown error, with 200": json_response({"error": "something_new"}),
    "text 500": raw_response("An error has occurred.", 500, Content_Type="text/plain"),
    "JSON 500": json_response({"Message": "An error has occurred."}, 500),
    "HTML 502": raw_response("<h1>Bad Gateway</h1>", 502, Content_Type="text/html"),
    "empty 200": raw_response(),
    "captive portal": raw_response(
        "<html>Sign in to the guest network</html>", Content_Type="text/html; charset=utf-8"
    ),
    "null": json_response(None),
    "list": json_response(["AT"]),
    "text": json_response("AT-made-up"),
    "no access token": json_response({"token_type": "bearer", "expires_in": 3600}),
    "empty access token": json_response({"access_token": ""}),
    "number in place of a token": json_response({"access_token": 12345}),
    "line break in the token": json_response({"access_token": "AT\r\nX-Evil: 1"}),
    "indented page": raw_response("\n <html>"),
}
# The provider, or a proxy before it, refused the request before anything was done.
ANSWERED: dict[str, bytes] = {
    "429": json_response({"error": "slow_down"}, 429, Retry_After="7"),
    "empty 429": raw_response(status=429, Retry_After="7"),
    "empty 503": raw_response(status=503),
    "503 by name": json_response({"error": "temporarily_unavailable"}, 400),
    "425": raw_response(status=425),
    "404 HTML": raw_response("<h1>Not Found</h1>", 404, Content_Type="text/html"),
    "307": raw_response(status=307, Location="https://elsewhere.example.test/"),
    "302 HTML": raw_response("moved", 302, Location="https://login.example.test/", Content_Type="text/html"),
    "403 HTML": raw_response("<h1>Forbidden</h1>", 403, Content_Type="text/html"),
    "404 JSON": json_response({"detail": "Not Found"}, 404),
    "status in words": json_response({"status": 404, "error": "Not Found", "path": "/oauth/token"}, 404),
    "403 in words": json_response("Forbidden", 403),
    "300": raw_response(status=300),
}
UNAVAILABLE = LOST | ANSWERED


@pytest.mark.parametrize("what", ["exchange", "refresh"])
@pytest.mark.parametrize("name", UNAVAILABLE)
def test_a_response_that_is_not_the_providers_is_an_outage(name: str, what: str) -> None:
    """Gateways, portals and nonsense say nothing about the code or grant; some may hide new tokens."""
    error = outcome(UNAVAILABLE[name], what)
    assert isinstance(error, ProviderUnavailableError)
    assert (error.sent, error.answered) == (True, name in ANSWERED)
    assert error.hint
    assert ("start again" in error.hint) is (what == "exchange")
    assert (error.action is Action.ASK_CONSENT) is (what == "exchange")  # a spent code is not tried again


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (UNAVAILABLE["empty 200"], "(200, empty)"),
        (UNAVAILABLE["captive portal"], "(200, text/html)"),
        (UNAVAILABLE["null"], "(200, application/json)"),
        (UNAVAILABLE["no access token"], "(200, JSON without an access token)"),
        (UNAVAILABLE["HTML 502"], "(502, text/html)"),
        (UNAVAILABLE["503 by name"], "(400 temporarily_unavailable)"),
        (json_response({"error": "a b c d e f g"}, 502), "(502, an error without a name)"),
        (raw_response("<html>", 502, Content_Type="<script>"), "(502, unknown content)"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\n??", "(502, unknown content)"),
    ],
)
def test_an_outage_describes_the_response(given: bytes, words: str) -> None:
    """The message describes the response by its status, name and content type, without quoting the rest."""
    error = outcome(given)
    assert isinstance(error, ProviderUnavailableError)
    assert words in error.message


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("Sun, 22 Nov 2026 12:00:30 GMT", 30), ("tomorrow", None)]
)
@pytest.mark.parametrize("what", ["exchange", "refresh", "revoke"])
def test_retry_after_is_passed_on(value: str, seconds: float | None, what: str) -> None:
    """How long to wait reaches the caller, in seconds, from either form."""
    given = raw_response("slow down", 429, Retry_After=value)
    error = revoked(given) if what == "revoke" else outcome(given, what)
    assert isinstance(error, ProviderUnavailableError)
    assert error.retry_after == seconds


DEAD_NAMES = [
    *("invalid_grant", "access_denied", "invalid_token", "expired_token", "token_expired", "token_revoked"),
    *("bad_refresh_token", "invalid_refresh_token", "refresh_token_expired", "refresh_token_reused"),
    *("InvalidGrant", "INVALID_GRANT", "invalid-grant", "AccessDeniedException", "token_not_found"),
    *("unknown_refresh_token", "inactive_token", "old_refresh_token", "authorization_revoked"),
]
DOUBTFUL_NAMES = ["invalid_request", "interaction_required", "login_required", "something_new", "unknown"]
CLIENT_NAMES = [
    *("invalid_client", "unauthorized_client", "deleted_client", "client_disabled", "bad_client_secret"),
    *("invalid_scope", "unsupported_grant_type", "redirect_uri_mismatch", "application_suspended"),
]
NAMED: list[object] = [
    {"error": "bad_refresh_token", "error_description": "in words"},
    {"error": {"code": "bad_refresh_token", "message": "in words"}},
    {"error": {"status": 400, "type": "bad_refresh_token"}},
    {"error": ["bad_refresh_token"]},
    {"errors": [{"code": 17, "error": "bad_refresh_token"}]},
    [{"error": "bad_refresh_token"}],
    {"error_codes": ["bad_refresh_token"]},
]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 422, 500, 503])
@pytest.mark.parametrize("name", DEAD_NAMES)
def test_a_name_that_means_dead_is_dead_whatever_the_status(name: str, status: int) -> None:
    """The body counts before the status, and the meaning of a name before its spelling."""
    error = outcome(json_response({"error": name}, status))
    assert isinstance(error, GrantRefusedError)
    assert (error.certain, error.action) == (True, "ask_consent")
    assert error.hint == "The practice has to give access again."


@pytest.mark.parametrize(
    "given",
    [
        *(json_response(body, 200) for body in NAMED),
        *(json_response(body, 400) for body in NAMED),
        json_response(TOKENS | {"error": "invalid_grant"}, 400),
        raw_response("error=invalid_grant&error_description=is+no+more", 400, Content_Type=FORM),
        raw_response("error=invalid_grant", 401, Content_Type=f"{FORM.upper()};charset=utf-8"),
        raw_response("error=invalid%5Fgrant&error_description=It is over.\n", 400, Content_Type="text/plain"),
        raw_response("error=bad_refresh_token&error=bad_refresh_token", 200, Content_Type=FORM),
    ],
)
def test_the_name_of_an_error_is_found_in_every_form(given: bytes) -> None:
    """A string, in an object, in a list, or in a form as servers wrote it before RFC 6749."""
    error = outcome(given)
    assert isinstance(error, GrantRefusedError)
    assert error.certain


@pytest.mark.parametrize(
    "given",
    [
        *(json_response({"error": name}, 400) for name in DOUBTFUL_NAMES),
        json_response({"error": "invalid_request"}, 200),
        json_response({"error": "teapot"}, 418),
        json_response({"error": 17}, 400),
        json_response({"error": {"text": "No."}}, 400),
        json_response({"Message": "An error has occurred."}, 401),
        json_response({"error": "AT-made-up.Secret1"}, 400),
        raw_response(status=400),
        raw_response(status=401, WWW_Authenticate="Basic"),
        raw_response("  \r\n", 401),
        raw_response("Bad request", 400, Content_Type="text/plain"),
    ],
    ids=range(15),
)
def test_an_ambiguous_refusal_is_doubtful(given: bytes) -> None:
    """If no name says that the token is dead, it may be alive; nothing that may be secret is quoted."""
    error = outcome(given)
    assert isinstance(error, GrantRefusedError)
    assert not error.certain
    assert "Secret1" not in error.message


@pytest.mark.parametrize(
    "given",
    [
        *(json_response({"error": name}, 400) for name in [*DEAD_NAMES, *DOUBTFUL_NAMES]),
        json_response({"error": "bad_verification_code"}, 400),
        json_response({"error": "invalid_code"}, 400),
        json_response({"error": ECHO}, 400),
        raw_response(ECHO, 400),
        raw_response(status=400),
        raw_response(status=401),
        raw_response("  ", 401),
    ],
)
def test_every_way_to_refuse_a_code_is_one_error(given: bytes) -> None:
    """A refused code, with or without a name, ends in words that say to start again and quote no secret."""
    error = outcome(given, "exchange")
    assert isinstance(error, CodeRefusedError)
    assert "start again" in error.hint
    assert ECHO not in f"{error.message} {error.hint} {error!r}"


@pytest.mark.parametrize(
    ("name", "what", "words"),
    [
        ("invalid_grant", "exchange", "did not accept the code (401 invalid_grant): it is too old, "),
        ("invalid_grant", "refresh", "refused the refresh token (401 invalid_grant)"),
        ("invalid_client", "exchange", "does not accept the client registration (401 invalid_client)"),
        ("access_denied", "revoke", "does not let this client revoke (401 access_denied)"),
    ],
)
def test_a_refusal_names_the_error_and_the_refused_part(name: str, what: str, words: str) -> None:
    """The message names the error as the provider does."""
    given = json_response({"error": name}, 401)
    error = revoked(given) if what == "revoke" else outcome(given, what)
    assert isinstance(error, ConnectorError)
    assert f"auth.example.test {words}" in error.message


@pytest.mark.parametrize("what", ["exchange", "refresh", "revoke"])
@pytest.mark.parametrize("status", [200, 400, 401, 403])
@pytest.mark.parametrize("name", CLIENT_NAMES)
def test_a_refused_client_is_a_matter_of_configuration(name: str, status: int, what: str) -> None:
    """A wrong id, secret or scope is neither the code's nor the grant's fault."""
    given = json_response({"error": name}, status, WWW_Authenticate="Basic")
    refused = revoked(given) if what == "revoke" else outcome(given, what)
    assert isinstance(refused, ClientRefusedError)
    assert ("ORMCO_CLIENT_SECRET" in refused.hint, refused.action) == (True, "fix_settings")


@pytest.mark.parametrize("what", ["exchange", "refresh"])
@pytest.mark.parametrize("kind", ["DPoP", "mac", "N_A", "PoP", "jwt"])
def test_a_token_that_is_no_bearer_token_is_refused(kind: str, what: str) -> None:
    """A token that needs a proof with each call would be handed out as one that needs none."""
    error = outcome(json_response(TOKENS | {"token_type": kind}), what)
    assert isinstance(error, ClientRefusedError)
    assert "bearer" in error.message
    assert error.granted


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER ", "BearerToken", "", None, 7])
def test_a_bearer_token_is_recognised_in_any_spelling(kind: object) -> None:
    """Servers spell it as they like, and some leave it out."""
    assert isinstance(outcome(json_response(TOKENS | {"token_type": kind})), TokenSet)


@pytest.mark.parametrize("status", [200, 204, 299])
def test_a_revocation_succeeds_with_any_success(status: int) -> None:
    """RFC 7009 has 200, some servers send 204."""
    assert revoked(raw_response(status=status)) is None


@pytest.mark.parametrize("name", ["text 500", "300", "307", "empty 429", "captive portal", "indented page"])
def test_a_revocation_that_may_not_have_happened_is_an_outage(name: str) -> None:
    """Any other response, also a web page or a redirect, is an outage: the token may be alive."""
    assert isinstance(revoked(UNAVAILABLE[name]), ProviderUnavailableError)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token"])
@pytest.mark.parametrize("name", ["invalid_token", "invalid_grant", "expired_token", "token_not_found"])
def test_a_token_that_is_not_valid_any_more_is_revoked(name: str, hint: str) -> None:
    """A server that says so in place of 200 (RFC 7009 §2.2) has nothing left to revoke."""
    for status in (400, 401, 404):
        assert revoked(json_response({"error": name}, status), hint) is None


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("unsupported_token_type", 400, ClientRefusedError),
        ("unsupported_token_type", 503, ClientRefusedError),
        ("invalid_request", 400, ProviderUnavailableError),
        ("unsupported_token", 400, ProviderUnavailableError),
        ("no_idea", 400, ProviderUnavailableError),
    ],
)
def test_an_access_token_that_is_not_revoked_is_no_failure(
    name: str, status: int, expected: type[ConnectorError]
) -> None:
    """Access tokens expire by themselves; a refresh token that cannot be revoked is an error."""
    given = json_response({"error": name}, status)
    assert revoked(given, "access_token") is None
    assert isinstance(revoked(given, "refresh_token"), expected)


@pytest.mark.parametrize("status", [401, 403])
def test_a_client_that_may_not_revoke_is_refused(status: int) -> None:
    """A bare refusal at the revocation endpoint is the client's, and no outage to wait for."""
    error = revoked(raw_response(status=status))
    assert isinstance(error, ClientRefusedError)
    assert "own pages" in error.hint
    assert isinstance(revoked(json_response({"error": "access_denied"}, status)), ClientRefusedError)
