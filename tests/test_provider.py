"""The presets of 3Shape's servers, and which addresses are acceptable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from connector.errors import SettingError
from connector.oauth.presets import LABS, PRESETS, REDIRECT_URI, region_at, region_named
from connector.oauth.provider import ClientRegistration, Provider, require_secure
from connector.oauth.provider_file import load_provider, read_provider_file
from tests.support.sandbox import RunningSandbox


def test_the_presets_are_the_five_that_are_promised() -> None:
    """Production and staging of both generations, and the sandbox."""
    names = ["communicate", "communicate-staging", "identity", "identity-staging", "sandbox"]
    assert list(PRESETS) == names
    assert all(load_provider(name) is provider for name, provider in PRESETS.items())


@pytest.mark.parametrize(("end", "prefix"), [("", ""), ("-staging", "staging-")])
def test_the_presets_are_as_3shape_documents_them(end: str, prefix: str) -> None:
    """Every address of a staging preset is staging's, and none of production's is.

    Classic has British spelling, raw Basic and no PKCE; whether it returns the state is unknown.
    """
    classic, known = f"{prefix}auth.3shapecommunicate.com/oauth", {"europe": "eu", "americas": "am"}
    codes = known if prefix else known | {"asia-pacific": "as"}
    shared: dict[str, Any] = {
        "users_url": f"https://{prefix}users.3shapecommunicate.com",
        "metadata_urls": {
            region: f"https://{prefix}{code}metadata.3shapecommunicate.com" for region, code in codes.items()
        },
        "portal_url": None if prefix else "https://portal.3shapecommunicate.com",
    }
    assert PRESETS[f"communicate{end}"] == Provider(
        name=f"communicate{end}",
        authorization_endpoint=f"https://{classic}/authorise",
        token_endpoint=f"https://{classic}/token",
        applications_page=f"{shared['users_url']}/User/Applications",
        code_format="dotnetopenauth",
        pkce=False,
        returns_state=None,
        basic_encoding="raw",
        **shared,
    )
    assert PRESETS[f"identity{end}"] == Provider(
        name=f"identity{end}",
        issuer=f"https://{prefix}identity.3shape.com",
        code_format="identityserver",
        scope="openid profile offline_access api",
        **shared,
    )


def test_the_sandbox_preset_describes_the_sandbox(classic: RunningSandbox, tmp_path: Path) -> None:
    """The preset is the sandbox's own description, at its usual address."""
    usual = f"http://127.0.0.1:{urlsplit(PRESETS['sandbox'].token_endpoint or '').port}"
    text = Path(classic.provider_file).read_text("utf-8").replace(classic.url, usual)
    (tmp_path / "usual.toml").write_text(text, "utf-8")
    documented = read_provider_file(str(tmp_path / "usual.toml"))
    registered = ClientRegistration(
        client_id=classic.client_id, client_secret=classic.client_secret, redirect_uri=REDIRECT_URI
    )
    expected = replace(documented, name="sandbox", client=registered, client_auth=None)
    assert PRESETS["sandbox"] == expected


def test_an_unknown_name_lists_the_presets() -> None:
    """The error for a misspelt preset lists the presets."""
    with pytest.raises(SettingError, match="'comunicate'") as caught:
        load_provider("comunicate")
    assert "communicate-staging" in caught.value.hint


def test_a_file_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any path of a TOML file is a provider, also with ~ and without .toml."""
    (tmp_path / "mine").write_text('[provider]\nissuer = "https://as.example.test"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_provider("~/mine").issuer == "https://as.example.test"
    assert load_provider(str(tmp_path / "mine")).issuer == "https://as.example.test"


@pytest.mark.parametrize(
    "url",
    [
        "https://as.example.test",
        "https://as.example.test:8443/path?query=1",
        "http://LOCALHOST/x",
        "http://127.0.0.1:9555/",
        "http://[::1]:9555/cb",
        "HTTPS://AS.Example.Test/X",
    ],
)
def test_https_and_this_machine_are_secure(url: str) -> None:
    """Encrypted addresses pass unchanged, and so does plain http on loopback."""
    assert require_secure(url, "the endpoint") == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://as.example.test/", "not encrypted"),
        ("http://127.0.0.1.example.test/", "not encrypted"),
        ("http://localhost.example.test/", "not encrypted"),
        ("http://10.0.0.1/", "not encrypted"),
        ("ftp://as.example.test/", "not a web address"),
        ("as.example.test", "not a web address"),
        ("//as.example.test/", "not a web address"),
        ("https://", "not a web address"),
        ("https://as.example.test:99999/", "not a web address"),
        ("https://as.example.test:0/", "not a web address"),
        ("https://[::1/", "not a web address"),
        ("https://as.exam\nple.test/", "not a web address"),
        ("https://as.example.test/ a", "not a web address"),
        ("https://as.example.test\\@127.0.0.1/", "not a web address"),
        ("http://as.example.test\\@127.0.0.1/", "not a web address"),
        ("https://user@as.example.test/", "not a web address"),
        ("", "not a web address"),
    ],
)
def test_any_other_address_is_refused(url: str, reason: str) -> None:
    """An unencrypted or ambiguous address is refused by name, and quoted if it can hold no password."""
    with pytest.raises(SettingError) as caught:
        require_secure(url, "the endpoint")
    assert caught.value.message == f"the endpoint is {reason}" + ("" if "@" in url else f": {url!r}")
    hints = {"not encrypted": "Use https://; ", "not a web address": "Give a full https:// address."}
    assert caught.value.hint.startswith(hints[reason])


def test_a_registration_does_not_show_its_secret() -> None:
    """repr() of a registration, and of a provider with one, has no secret."""
    client = ClientRegistration(client_id="id", client_secret="made-up", redirect_uri=REDIRECT_URI)
    assert "made-up" not in repr(client)
    assert "made-up" not in repr(Provider(name="x", client=client))
    public = ClientRegistration(client_id="id", redirect_uri=REDIRECT_URI)
    assert (public.client_secret, public.scope) == (None, None)


@pytest.mark.parametrize(
    ("code_format", "client_auth", "needed"),
    [
        ("dotnetopenauth", None, True),
        ("dotnetopenauth", "none", False),
        ("opaque", None, False),
        ("opaque", "none", False),
        ("opaque", "client_secret_post", True),
    ],
)
def test_a_secret_is_needed_if_the_server_asks_for_one(
    code_format: str, client_auth: str | None, needed: bool
) -> None:
    """A classic server requires one for codes, unless the provider file says otherwise."""
    assert Provider(name="x", code_format=code_format, client_auth=client_auth).needs_secret is needed


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({}, (False, False, False)),
        ({"token_endpoint": "t", "users_url": "u"}, (False, False, True)),
        ({"authorization_endpoint": "https://localhost/", "userinfo_endpoint": "u"}, (False, True, True)),
        ({"authorization_endpoint": "https://x.test/", "token_endpoint": "t"}, (True, False, False)),
        ({"issuer": "http://[::1]/", "authorization_endpoint": "https://x.test/"}, (False, True, False)),
    ],
)
def test_what_a_provider_can_do_follows_from_its_addresses(
    given: dict[str, Any], facts: tuple[bool, bool, bool]
) -> None:
    """Whether it is complete, is on this machine, and names the account behind a token."""
    provider = Provider(name="x", **given)
    assert (provider.complete, provider.is_local, provider.tells_account) == facts


def test_ormcos_labs_are_those_of_the_guide() -> None:
    """One lab account in each region, and the address that the guide's browser ends on."""
    labs = {"americas": "support", "asia-pacific": "supportasia", "europe": "supporteurope"}
    assert {region: f"insignia.{name}@ormco.com" for region, name in labs.items()} == LABS
    assert REDIRECT_URI == "https://ormco.com/"


@pytest.mark.parametrize(
    ("address", "region"),
    [
        ("www.3shapecommunicate.com", "europe"),
        ("https://US.3shapecommunicate.com/api", "americas"),
        ("as1.3shapecommunicate.com", "asia-pacific"),
        ("https://staging-eumetadata.3shapecommunicate.com/api/", "europe"),
        ("am15.3shapecommunicate.com", "americas"),
        ("somewhere.example.test", None),
        ("", None),
    ],
)
def test_a_region_is_recognised_by_its_hosts(address: str, region: str | None) -> None:
    """The regions' old and new hosts, with or without a scheme."""
    assert region_at(address) == region


@pytest.mark.parametrize(
    ("name", "region"),
    [("Europe", "europe"), ("North America", "americas"), ("ASIA", "asia-pacific"), ("?", None)],
)
def test_a_region_is_recognised_by_its_name(name: str, region: str | None) -> None:
    """As the users API spells it."""
    assert region_named(name) == region
