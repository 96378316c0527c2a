"""The settings: where they come from, and what is said of those that are missing."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from connector.config import Config, Secret
from connector.errors import SealingKeyError, SettingError
from connector.oauth.presets import LABS, PRESETS
from connector.oauth.provider import Provider
from connector.store.keys import key_file
from tests.support.frames import secrets_in_frames

CLASSIC, SANDBOX = PRESETS["communicate"], PRESETS["sandbox"]
PUBLIC = Provider(name="public", issuer="https://as.example.test", client_auth="none")
OPEN = Provider(name="open", issuer="https://as.example.test")
REGISTERED = {"ORMCO_CLIENT_ID": "Ormco.Test", "ORMCO_CLIENT_SECRET": "made-up"}


def secret_file(folder: Path, content: bytes) -> str:
    """A file with a secret in it."""
    path = folder / "secret"
    path.write_bytes(content)
    return str(path)


def complaint(env: dict[str, str], provider: Provider = CLASSIC) -> str:
    """Return the error's message for a registration."""
    with pytest.raises(SettingError) as caught:
        Config.from_env(env).registration(provider)
    assert caught.value.hint
    return caught.value.message


def test_nothing_has_to_be_set() -> None:
    """Without any variable the settings are the defaults, and nothing is read or refused."""
    config = Config.from_env({})
    assert (config.provider, config.redirect_uri) == ("communicate", "https://ormco.com/")
    assert not any((config.client_secret, config.store_keys, config.password, config.digital_password))
    assert config.load_provider() is CLASSIC


def test_every_setting_has_its_variable() -> None:
    """Each variable arrives in its own field."""
    names = (
        *("PROVIDER", "CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI", "SCOPE", "STORE", "STORE_KEYS"),
        *("3SHAPE_USERNAME", "3SHAPE_PASSWORD", "DIGITAL_URL", "DIGITAL_USERNAME", "DIGITAL_PASSWORD"),
        *("BROWSER", "ACTOR", "LAB_AMERICAS", "LAB_ASIA_PACIFIC", "LAB_EUROPE"),
    )
    config = Config.from_env({f"ORMCO_{name}": f" {name} " for name in names})
    others = ("labs", "clock_leeway", "record_refreshes")
    values = [getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in others]
    read = [value.reveal() if isinstance(value, Secret) else value for value in values]
    assert tuple(str(text).strip() for text in [*read, *config.labs.values()]) == names


def test_numbers_and_switches_are_read() -> None:
    """Seconds and yes-or-no settings have their types; the defaults are five minutes and no."""
    config = Config.from_env({"ORMCO_CLOCK_LEEWAY": "1800", "ORMCO_RECORD_REFRESHES": "Yes"})
    assert (config.clock_leeway, config.record_refreshes) == (1800.0, True)
    assert (Config().clock_leeway, Config().record_refreshes) == (300.0, False)
    assert Config.from_env({"ORMCO_RECORD_REFRESHES": "0"}).record_refreshes is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_secret", "abc"),
        ("client_secret", None),
        ("password", b"abc"),
        ("client_secret", Secret("a\0b")),
        ("store_keys", Secret("a\udcffb")),
        ("password", Secret(b"abc")),  # type: ignore[arg-type]
        ("provider", None),
        ("provider", Path("provider.toml")),
        ("client_id", 17),
        ("client_id", "Ormco\0Test"),
        ("client_id", ""),
        ("scope", "api\udcff"),
        ("actor", "two\nlines"),
        ("redirect_uri", "https://ormco.com/\r\n"),
        ("store", "x" * 5000),
        ("clock_leeway", "300"),
        ("clock_leeway", True),
        ("clock_leeway", float("nan")),
        ("clock_leeway", -1),
        ("record_refreshes", "yes"),
        ("labs", None),
        ("labs", ["lab@example.test"]),
        ("labs", {"europe": None}),
    ],
)
def test_an_invalid_setting_is_refused_at_once(field: str, value: object) -> None:
    """A wrong type or an unprintable character is one of our errors when the settings are made, by name."""
    with pytest.raises(SettingError, match=f"^{field} ") as caught:
        Config(**{field: value})  # type: ignore[arg-type]
    assert "abc" not in caught.value.message
    assert caught.value.hint


def test_all_invalid_settings_are_reported_together() -> None:
    """One error names every variable that is wrong."""
    env = {"ORMCO_CLOCK_LEEWAY": "five", "ORMCO_RECORD_REFRESHES": "maybe", "ORMCO_SCOPE": "a\udcffb"}
    with pytest.raises(SettingError) as caught:
        Config.from_env(env)
    assert [name for name in env if name not in caught.value.message] == []


@pytest.mark.parametrize("value", ["made-up\r\n", " made-up ", "\ufeffmade-up\n"])
def test_a_secret_is_trimmed_as_in_a_file(value: str, tmp_path: Path) -> None:
    """A line end that a file or a shell left behind is no part of the secret."""
    direct = Config.from_env({"ORMCO_CLIENT_SECRET": value})
    filed = Config.from_env({"ORMCO_CLIENT_SECRET_FILE": secret_file(tmp_path, value.encode())})
    assert direct.client_secret.reveal() == filed.client_secret.reveal() == "made-up"
    assert Config.from_env({"ORMCO_3SHAPE_PASSWORD": " a b \r\n"}).password.reveal() == " a b "
    assert not Config.from_env({"ORMCO_CLIENT_SECRET": "\r\n"}).client_secret


def test_openid_needs_an_issuer() -> None:
    """If an id_token is expected, its issuer has to be known, which is checked before consent."""
    endpoints = Provider(
        name="x", authorization_endpoint="https://x.test/a", token_endpoint="https://x.test/t"
    )
    env = {"ORMCO_CLIENT_ID": "x", "ORMCO_SCOPE": "openid api"}
    assert "no issuer" in complaint(env, endpoints)
    assert Config.from_env(env).registration(OPEN).scope == "openid api"


def test_a_home_folder_is_needed_only_if_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home folder, only the default place of the store is missing, and the error says so."""
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for an unknown user
    assert Config(store="sqlite:///x.db").store_url == "sqlite:///x.db"
    assert Config().load_provider() is CLASSIC
    with pytest.raises(SettingError, match="no home folder") as caught:
        Config().store_url  # noqa: B018
    assert "ORMCO_STORE" in caught.value.hint
    with pytest.raises(SettingError, match="ORMCO_CLIENT_SECRET_FILE"):
        Config.from_env({"ORMCO_CLIENT_SECRET_FILE": "~/secret"}).client_secret.reveal()
    with pytest.raises(SealingKeyError) as refused:
        key_file("0" * 16)
    assert "ORMCO_STORE_KEYS" in refused.value.hint


def test_a_lab_account_can_be_replaced() -> None:
    """Without settings, the lab accounts are the guide's; one setting replaces one of them."""
    assert Config().labs == LABS
    labs = Config.from_env({"ORMCO_LAB_EUROPE": "lab@example.test"}).labs
    assert labs == {**LABS, "europe": "lab@example.test"}


def test_an_empty_variable_is_not_set() -> None:
    """An empty or blank variable counts as absent, as from a shell script or a container's file."""
    env = {f"ORMCO_{name}": "" for name in ("PROVIDER", "CLIENT_SECRET", "CLIENT_SECRET_FILE")}
    config = Config.from_env(env | {"ORMCO_REDIRECT_URI": "  "})
    assert config.provider == "communicate"
    assert config.redirect_uri == "https://ormco.com/"
    assert not config.client_secret


def test_the_default_store_is_in_the_users_data_folder() -> None:
    """The store's default is one file for the user; a setting replaces it."""
    url = Config.from_env({}).store_url
    folder = Path(platformdirs.user_data_dir("ormco", appauthor=False)).as_posix()
    assert url == f"sqlite:///{folder}/connections.db"
    assert Config.from_env({"ORMCO_STORE": "sqlite:///x.db"}).store_url == "sqlite:///x.db"


def test_a_registration_is_made_of_settings() -> None:
    """Client id, secret, redirect URI and scope are the settings', byte for byte."""
    env = {**REGISTERED, "ORMCO_REDIRECT_URI": "https://ormco.com", "ORMCO_SCOPE": "api"}
    client = Config.from_env(env).registration(CLASSIC)
    assert (client.client_id, client.client_secret) == ("Ormco.Test", "made-up")
    assert (client.redirect_uri, client.scope) == ("https://ormco.com", "api")


def test_the_providers_scope_is_asked_for_unless_one_is_set() -> None:
    """A provider may have a scope; the setting takes precedence."""
    identity = PRESETS["identity"]
    assert Config.from_env(REGISTERED).registration(identity).scope == identity.scope
    assert Config.from_env({**REGISTERED, "ORMCO_SCOPE": "openid"}).registration(identity).scope == "openid"


def test_the_sandbox_needs_no_settings() -> None:
    """The sandbox has a registration of its own; a setting takes precedence."""
    client = Config.from_env({}).registration(SANDBOX)
    assert client.client_id == "ormco-sandbox"
    assert client.client_secret
    assert Config.from_env(REGISTERED).registration(SANDBOX).client_id == "Ormco.Test"
    wrong = Config.from_env({"ORMCO_CLIENT_SECRET": "wrong"}).registration(SANDBOX)
    assert (wrong.client_id, wrong.client_secret) == ("ormco-sandbox", "wrong")


@pytest.mark.parametrize(
    ("env", "provider", "missing"),
    [
        ({}, CLASSIC, "not set: ORMCO_CLIENT_ID, ORMCO_CLIENT_SECRET (or ORMCO_CLIENT_SECRET_FILE)"),
        ({"ORMCO_CLIENT_ID": "x"}, CLASSIC, "not set: ORMCO_CLIENT_SECRET (or ORMCO_CLIENT_SECRET_FILE)"),
        ({"ORMCO_CLIENT_SECRET": "x"}, CLASSIC, "not set: ORMCO_CLIENT_ID"),
        ({"ORMCO_CLIENT_ID": "mine"}, SANDBOX, "not set: ORMCO_CLIENT_SECRET (or ORMCO_CLIENT_SECRET_FILE)"),
        ({}, OPEN, "not set: ORMCO_CLIENT_ID"),
        ({}, PUBLIC, "not set: ORMCO_CLIENT_ID"),
    ],
)
def test_all_missing_settings_of_a_registration_are_reported_together(
    env: dict[str, str], provider: Provider, missing: str
) -> None:
    """Every missing variable is named in one message, and none that is not needed.

    A client id of one's own does not get the sandbox's secret.
    """
    assert complaint(env, provider) == missing


def test_missing_and_wrong_settings_are_reported_together(tmp_path: Path) -> None:
    """One error holds the missing id, the unreadable secret and the redirect URI that is not encrypted."""
    env = {"ORMCO_CLIENT_SECRET_FILE": str(tmp_path / "none"), "ORMCO_REDIRECT_URI": "http://ormco.com/"}
    said = complaint(env)
    assert "ORMCO_CLIENT_ID" in said
    assert "ORMCO_CLIENT_SECRET_FILE" in said
    assert "the redirect URI is not encrypted" in said
    assert "not set: ORMCO_CLIENT_ID;" in said


def test_a_public_client_has_no_secret_even_if_one_is_set() -> None:
    """If the provider accepts no client authentication, none is sent."""
    assert Config.from_env(REGISTERED).registration(PUBLIC).client_secret is None
    assert Config.from_env({"ORMCO_CLIENT_ID": "x"}).registration(OPEN).client_secret is None


def test_credentials_name_every_setting_that_a_headless_run_lacks() -> None:
    """User name, password and registration are reported together; complete, they are returned."""
    with pytest.raises(SettingError) as caught:
        Config.from_env({}).credentials(CLASSIC)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "3SHAPE_USERNAME", "3SHAPE_PASSWORD"):
        assert f"ORMCO_{name}" in caught.value.message
    env = {"ORMCO_3SHAPE_USERNAME": "office@practice.test", "ORMCO_3SHAPE_PASSWORD": " made up "}
    assert Config.from_env(env).credentials(SANDBOX) == ("office@practice.test", " made up ")


def test_a_secret_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    """The file may come later than the settings, and have a line end or a byte order mark."""
    config = Config.from_env({"ORMCO_CLIENT_SECRET_FILE": str(tmp_path / "secret")})
    secret_file(tmp_path, b"\xef\xbb\xbfmade-up:\xc3\xa9\r\n")
    assert config.client_secret.reveal() == "made-up:é"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 70_000, "too long"),
        (b"a\0b", "control characters"),
    ],
)
def test_a_secret_file_without_a_secret_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """An empty, binary or endless file is not taken for a secret; the variable is named."""
    said = complaint({"ORMCO_CLIENT_ID": "x", "ORMCO_CLIENT_SECRET_FILE": secret_file(tmp_path, content)})
    assert said.startswith("ORMCO_CLIENT_SECRET_FILE")
    assert reason in said


@pytest.mark.parametrize("path", ["missing", ".", "~nobody-of-this-name/secret"])
def test_a_secret_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A missing file, a folder and an unknown home each end in a setting error."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match="ORMCO_STORE_KEYS_FILE"):
        Config.from_env({"ORMCO_STORE_KEYS_FILE": path}).store_keys.reveal()


def test_no_frame_holds_a_password_when_another_setting_is_missing() -> None:
    """A reporter that collects local variables finds no secret that was read before another error."""
    config = Config.from_env({"ORMCO_3SHAPE_PASSWORD": "made-up", "ORMCO_CLIENT_SECRET": "made-up"})
    with pytest.raises(SettingError) as caught:
        config.credentials(CLASSIC)
    assert secrets_in_frames(caught.value, "made-up") == []


def test_a_secret_set_twice_is_contradictory(tmp_path: Path) -> None:
    """Two secrets are an error."""
    env = {**REGISTERED, "ORMCO_CLIENT_SECRET_FILE": secret_file(tmp_path, b"other")}
    assert complaint(env) == "ORMCO_CLIENT_SECRET and ORMCO_CLIENT_SECRET_FILE are both set"


def test_the_settings_do_not_show_their_secrets(tmp_path: Path) -> None:
    """repr() of the settings has no secret, neither a store URL's password nor a file's content."""
    path = secret_file(tmp_path, b"made-up-file")
    store = "postgresql://ormco:made-up-url@db.example.test/ormco"
    config = Config.from_env({**REGISTERED, "ORMCO_STORE": store, "ORMCO_STORE_KEYS_FILE": path})
    assert "made-up" not in repr(config)
    assert repr([Secret(), Secret("x"), Secret(path="x")]) == "[Secret(not set), Secret(set), Secret(a file)]"


@pytest.mark.parametrize(("provider", "suggested"), [("communicate", True), ("sandbox", False)])
def test_the_sandbox_is_suggested_to_others_only(provider: str, suggested: bool) -> None:
    """The sandbox is not suggested to a user who already uses it."""
    config = Config(provider=provider)
    with pytest.raises(SettingError) as caught:
        config.credentials(config.load_provider())
    assert ("sandbox" in caught.value.hint) is suggested


def into_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.skipif(os.name != "posix", reason="modes and pipes")
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(lambda path: path.chmod(0o644), "other users can read it"), (into_pipe, "not a regular file")],
    ids=["readable", "pipe"],
)
def test_a_key_file_is_for_its_owner_alone(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    """A key file that others can read, or that is no file, is refused at once, with what to do."""
    path = tmp_path / "keys"
    path.write_text("made-up")
    path.chmod(0o600)
    secret = Config.from_env({"ORMCO_STORE_KEYS_FILE": str(path)}).store_keys
    assert secret.reveal() == "made-up"
    spoil(path)
    with pytest.raises(SettingError, match=reason) as caught:
        secret.reveal()
    assert "chmod 600" in caught.value.hint
