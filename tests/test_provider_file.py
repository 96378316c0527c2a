"""Provider files: their valid keys and values, and the errors for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.errors import SettingError
from connector.oauth.provider import Provider
from connector.oauth.provider_file import load_provider, read_provider_file

ENDPOINTS = """
[provider]
authorization_endpoint = "https://as.example.test/authorize"
token_endpoint = "https://as.example.test/token"
"""
FULL = """
[provider]
issuer = "https://as.example.test"
authorization_endpoint = "https://as.example.test/authorize?tenant=7"
token_endpoint = "https://as.example.test/token"
revocation_endpoint = "https://as.example.test/revoke"
userinfo_endpoint = "https://as.example.test/userinfo"
users_url = "https://users.example.test"
applications_page = "https://users.example.test/User/Applications"
portal_url = "https://portal.example.test"
code_format = "identityserver"
pkce = false
returns_state = "unknown"
client_auth = "client_secret_post"
basic_encoding = "raw"
scope = "openid api"
landing_hosts = ["www.example.test"]
download_hosts = ["files.example.test"]
refresh_reuse_seconds = 60

[provider.metadata_urls]
europe = "https://eu.example.test"

[provider.authorization_params]
prompt = "consent"
max_age = 0
response_mode = "query"
"""


def read(tmp_path: Path, text: str) -> Provider:
    """Read a provider file with this text."""
    path = tmp_path / "provider.toml"
    path.write_text(text, "utf-8")
    return read_provider_file(str(path))


def refused(tmp_path: Path, text: str) -> SettingError:
    """Read a wrong provider file; return the error."""
    with pytest.raises(SettingError) as caught:
        read(tmp_path, text)
    assert "provider.toml" in caught.value.message
    assert caught.value.hint
    return caught.value


def test_two_endpoints_are_enough(tmp_path: Path) -> None:
    """The rest has the standards' defaults."""
    found = read(tmp_path, ENDPOINTS)
    assert found.name == found.authorization_endpoint == "https://as.example.test/authorize"
    assert found.token_endpoint == "https://as.example.test/token"
    assert (found.code_format, found.basic_encoding, found.refresh_reuse_seconds) == ("opaque", "rfc6749", 0)
    assert (found.pkce, found.returns_state, found.returns_iss) == (True, True, False)
    unknown = ("issuer", "revocation_endpoint", "userinfo_endpoint", "users_url", "applications_page")
    unset = [getattr(found, name) for name in (*unknown, "portal_url", "client_auth", "scope", "client")]
    assert unset == [None] * 9


def test_an_issuer_is_enough(tmp_path: Path) -> None:
    """A provider with an issuer is named by it, and discovered later."""
    provider = read(tmp_path, '[provider]\nissuer = "https://as.example.test/realm/"\n')
    assert (provider.name, provider.complete) == ("https://as.example.test/realm/", False)


def test_every_key_is_read(tmp_path: Path) -> None:
    """Each key of a full file arrives where it belongs."""
    assert read(tmp_path, FULL) == Provider(
        name="https://as.example.test",
        issuer="https://as.example.test",
        authorization_endpoint="https://as.example.test/authorize?tenant=7",
        token_endpoint="https://as.example.test/token",
        revocation_endpoint="https://as.example.test/revoke",
        userinfo_endpoint="https://as.example.test/userinfo",
        users_url="https://users.example.test",
        metadata_urls={"europe": "https://eu.example.test"},
        applications_page="https://users.example.test/User/Applications",
        portal_url="https://portal.example.test",
        code_format="identityserver",
        pkce=False,
        returns_state=None,
        client_auth="client_secret_post",
        basic_encoding="raw",
        authorization_params={"prompt": "consent", "max_age": "0", "response_mode": "query"},
        scope="openid api",
        landing_hosts=("www.example.test",),
        download_hosts=("files.example.test",),
        refresh_reuse_seconds=60.0,
    )


@pytest.mark.parametrize("seconds", [0, 0.5, 3600])
def test_seconds_of_reuse_have_limits(tmp_path: Path, seconds: float) -> None:
    """From none to an hour."""
    text = f"{ENDPOINTS}refresh_reuse_seconds = {seconds}\n"
    assert read(tmp_path, text).refresh_reuse_seconds == seconds


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    """A file saved by Windows' Notepad is read."""
    assert read(tmp_path, "\ufeff" + ENDPOINTS).complete


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("refresh_reuse_seconds = -1", "refresh_reuse_seconds is not a number of seconds"),
        ("refresh_reuse_seconds = 3601", "refresh_reuse_seconds is not a number of seconds"),
        ("refresh_reuse_seconds = true", "refresh_reuse_seconds is not a number of seconds"),
        ("refresh_reuse_seconds = nan", "refresh_reuse_seconds is not a number of seconds"),
        ('token_endpont = "https://as.example.test"', "'token_endpont' is not a key"),
        ('name = "mine"', "'name' is not a key"),
        ("returns_iss = true", "'returns_iss' is not a key"),
        ('client = "x"', "'client' is not a key"),
        ('users_url = "users.example.test"', "users_url is not a web address"),
        ("portal_url = 7", "portal_url is not a string"),
        ('portal_url = " "', "portal_url is not a string"),
        ('pkce = "yes"', "pkce is neither true nor false"),
        ("pkce = 1", "pkce is neither true nor false"),
        ('returns_state = "maybe"', "returns_state is neither true nor false"),
        ("client_auth = []", "client_auth has an unknown value"),
        ("scope = 5", "scope is not a string"),
        ('landing_hosts = "www.example.test"', "landing_hosts is not a list"),
        ("landing_hosts = [7]", "landing_hosts is not a list"),
        ('landing_hosts = ["https://www.example.test/"]', "landing_hosts is not a list"),
        ('metadata_urls = "https://eu.example.test"', "metadata_urls is not a table"),
        ("metadata_urls = {europe = 7}", "metadata_urls.europe is not a string"),
        ('metadata_urls = {europe = "http://eu.example.test"}', "metadata_urls.europe is not encrypted"),
        ('authorization_params = "prompt=login"', "authorization_params is not a table"),
        ("authorization_params = {prompt = true}", "authorization_params.prompt is not a string"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, line: str, words: str) -> None:
    """The error names the file, the key and what is wrong with it, and suggests the key that was meant."""
    error = refused(tmp_path, f"{ENDPOINTS}\n{line}\n")
    assert words in error.message
    assert ("Did you mean 'token_endpoint'?" in error.hint) is line.startswith("token_endpont")


@pytest.mark.parametrize(
    "key",
    [
        *("issuer", "authorization_endpoint", "token_endpoint", "revocation_endpoint", "userinfo_endpoint"),
        *("users_url", "applications_page", "portal_url"),
    ],
)
def test_every_address_has_to_be_encrypted(tmp_path: Path, key: str) -> None:
    """No key of a file can make a call go over plain http to another machine."""
    error = refused(tmp_path, f'[provider]\n{key} = "http://as.example.test/"\n')
    assert f"{key} is not encrypted" in error.message


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("code_format", ["dotnetopenauth", "identityserver", "opaque"]),
        ("client_auth", ["client_secret_basic", "client_secret_post", "none"]),
        ("basic_encoding", ["rfc6749", "raw"]),
    ],
)
def test_a_choice_is_one_of_those_that_are_known(tmp_path: Path, key: str, values: list[str]) -> None:
    """Each is read; for another value the error lists them."""
    assert [getattr(read(tmp_path, f'{ENDPOINTS}{key} = "{each}"'), key) for each in values] == values
    error = refused(tmp_path, f'{ENDPOINTS}{key} = "RAW"')
    assert error.message.endswith(f"{key} has an unknown value")
    assert error.hint == "It may be " + ", ".join(f'"{each}"' for each in values) + "."


@pytest.mark.parametrize(
    "name",
    [
        *("client_id", "client_secret", "redirect_uri", "response_type", "scope", "state", "nonce"),
        *("code_challenge", "code_challenge_method", "code_verifier", "request", "request_uri"),
    ],
)
def test_the_connectors_own_parameters_may_not_be_set(tmp_path: Path, name: str) -> None:
    """Neither a table nor an endpoint's query may set what guards the flow."""
    params = refused(tmp_path, f'{ENDPOINTS}[provider.authorization_params]\n{name} = "x"\n')
    query = refused(tmp_path, ENDPOINTS.replace("/authorize", f"/authorize?{name}="))
    assert f"authorization_params must not set {name!r}" in params.message
    assert f"authorization_endpoint must not set {name!r}" in query.message


@pytest.mark.parametrize("mode", ["form_post", "jwt", "web_message"])
def test_a_response_has_to_come_in_the_address(tmp_path: Path, mode: str) -> None:
    """A response mode that hides the code from the address is refused; without one, no mode is needed."""
    params = f'{ENDPOINTS}[provider.authorization_params]\nprompt = "login"\n'
    assert read(tmp_path, params).authorization_params == {"prompt": "login"}
    assert read(tmp_path, f'{params}response_mode = "fragment"\n')
    error = refused(tmp_path, f'{params}response_mode = "{mode}"\n')
    assert "response_mode" in error.message
    assert error.hint == "The code has to come in the address: query or fragment."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no [provider] table"),
        ("provider = 5", "no [provider] table"),
        ("[provider]", "neither an issuer nor both endpoints"),
        ('[provider]\ntoken_endpoint = "https://as.example.test"', "neither an issuer nor both endpoints"),
        ("[provider", "not TOML"),
    ],
)
def test_a_file_that_describes_no_provider_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """The error names each key that is missing."""
    assert words in refused(tmp_path, text).message


def test_a_missing_file_and_a_binary_file_are_distinguished(tmp_path: Path) -> None:
    """A missing file, a folder and a binary file each have their own words."""
    (tmp_path / "provider.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingError, match="not TOML in UTF-8"):
        read_provider_file(str(tmp_path / "provider.toml"))
    with pytest.raises(SettingError, match="No such file"):
        load_provider(str(tmp_path / "missing.toml"))
    with pytest.raises(SettingError, match="cannot be read"):
        read_provider_file(str(tmp_path))
