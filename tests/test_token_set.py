"""Reading a token endpoint's JSON object."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.oauth.token_set import TokenSet, jwt_claims

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TEN_YEARS = 10 * 365 * 86400
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def read(**response: object) -> TokenSet:
    """Read a response with an access token."""
    return TokenSet.from_response({"access_token": "AT"} | response, received_at=NOW)


def jwt(**claims: object) -> str:
    """Return an unsigned JSON Web Token."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJub25lIn0.{body}.c2ln"


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        (" 90 ", 90),
        (0.5, 0.5),
        (10**18, TEN_YEARS),
        (10**400, None),
        (0, 0),
        (-1, 0),
        ("-60", 0),
        ("", None),
        ("soon", None),
        (True, None),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        ("nan", None),
        ([60], None),
        ({"s": 60}, None),
    ],
)
def test_expires_in_is_read_in_every_form_that_has_a_meaning(
    expires_in: object, seconds: float | None
) -> None:
    """Numbers and numbers as text count, up to ten years; nonsense is the same as nothing."""
    expected = None if seconds is None else NOW + timedelta(seconds=seconds)
    assert read(expires_in=expires_in).expires_at == expected


@pytest.mark.parametrize(
    ("exp", "expires_at"),
    [
        (NOW.timestamp() + 60, NOW + timedelta(seconds=60)),
        (NOW.timestamp(), None),
        (NOW.timestamp() - 60, None),
        (10**400, None),
        ("never", None),
        (True, None),
        (None, None),
    ],
)
def test_a_json_web_token_has_its_own_expiry(exp: object, expires_at: datetime | None) -> None:
    """If the response has no expires_in, the access token's own exp counts, if it makes sense."""
    assert read(access_token=jwt(exp=exp)).expires_at == expires_at
    assert read(access_token=jwt(exp=exp), expires_in=5).expires_at == NOW + timedelta(seconds=5)
    assert read(access_token=jwt(iat=1)) == TokenSet(access_token=jwt(iat=1), received_at=NOW)


def test_the_shortest_stated_lifetime_counts() -> None:
    """A life in milliseconds is noticed if the access token itself has its times, by the issuer's clock."""
    issued = NOW.timestamp() - 86400  # our clock is a day ahead
    token = jwt(iat=issued, exp=issued + 3600)
    assert read(access_token=token, expires_in=3_600_000).expires_at == NOW + timedelta(hours=1)
    assert read(access_token=token).expires_at == NOW + timedelta(hours=1)
    assert read(access_token=jwt(iat=issued, exp=issued), expires_in=60).expires_at == NOW + timedelta(
        seconds=60
    )


@pytest.mark.parametrize("token", [None, "", "   ", 5, ["AT"], "A\r\nT", "A\tT", "töken", "A\x7f", "A\ud800"])
def test_without_a_usable_access_token_there_is_no_token_set(token: object) -> None:
    """An access token is visible ASCII (RFC 6749 A.12); anything else could break out of a header."""
    with pytest.raises(ValueError, match="access_token"):
        read(access_token=token)


@pytest.mark.parametrize(
    ("token", "kept"),
    [
        ("Zz_1!IAAAA", "Zz_1!IAAAA"),
        ("Größe", "Größe"),
        ("MIME\nbase64\n", "MIME\nbase64\n"),
        ("\ud800", None),
        (" \n", None),
        ("", None),
        (5, None),
    ],
)
def test_a_refresh_token_is_whatever_fits_a_form(token: object, kept: str | None) -> None:
    """A refresh token is only ever sent in a form, so that it may be any text."""
    assert read(refresh_token=token).refresh_token == kept


@pytest.mark.parametrize(
    ("scope", "kept"),
    [("a  b ", "a b"), (["a", 1, "b"], "a b"), ("", ""), ("a\x1bb", None), (5, None), (None, None)],
)
def test_a_scope_is_kept_as_granted(scope: object, kept: str | None) -> None:
    """Text or list, the granted scope becomes one line; what is neither is unknown."""
    assert read(scope=scope).scope == kept


@given(st.dictionaries(st.sampled_from(["expires_in", "refresh_token", "scope", "id_token", "x"]), values))
def test_no_other_field_can_lose_the_access_token(response: dict[str, object]) -> None:
    """The access token of a response is kept, whatever else it holds, and its expiry lies ahead."""
    tokens = read(**response)
    assert tokens.access_token == "AT"
    assert tokens.expires_at is None or tokens.expires_at >= NOW


@given(st.text())
@example("W1tb" * 40_000)  # lists in lists
def test_claims_of_any_text_are_a_table(token: str) -> None:
    """A text that is no JSON Web Token has no claims, and raises nothing."""
    assert isinstance(jwt_claims(token), dict)
    assert isinstance(jwt_claims(f"a.{token}.c"), dict)
    assert jwt_claims(jwt(sub=token)) == {"sub": token}


def test_no_secret_is_in_the_text_form() -> None:
    """repr() shows none of the three tokens."""
    text = repr(read(access_token="AT-1", refresh_token="RT-1", id_token="ID-1"))
    assert not [token for token in ("AT-1", "RT-1", "ID-1") if token in text]
