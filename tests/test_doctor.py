"""The doctor: each check reports its finding and the remedy."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from connector import Config, Connector, LabConnection
from connector.cli.exit_statuses import exit_status
from connector.doctor import ALL_CHECKS, connection_checks, examine, local_checks, provider_checks
from connector.doctor.check import Check, clock_check
from connector.resources import Resources
from connector.revocation.removal import Removal
from tests.support.connecting import connect, kill_grant, opened, settings, stored
from tests.support.sandbox import RunningSandbox
from tests.support.stores import KEY, fresh_url, value_of
from tests.support.web_server import PageHandler, serving

PRACTICE = "practice-42"


_OPENED: list[Resources] = []


def resources_of(env: dict[str, str]) -> Resources:
    """The resources of the checks, closed after the test."""
    _OPENED.append(Resources(Config.from_env(env)))
    return _OPENED[-1]


@pytest.fixture(autouse=True)
def _all_closed() -> Iterator[None]:
    yield
    while _OPENED:
        _OPENED.pop().close()


@pytest.fixture(autouse=True)
def _no_browser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make the machine have no browser: starting one takes long, and tests/browser does it."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def results(checks: list[Check]) -> dict[str, str]:
    return {check.name.partition(" ")[0]: check.result.value for check in checks}


def the(name: str, checks: list[Check]) -> Check:
    return next(check for check in checks if check.name == name)


def test_a_working_connection_passes_every_check(sandbox: RunningSandbox, connector: Connector) -> None:
    """A working connection passes every check, and is not changed by it: its refresh token stays valid."""
    before = connect(connector, sandbox)
    checks = list(connector.doctor(PRACTICE, only=ALL_CHECKS))
    assert connector.status(PRACTICE) == before
    found = results(checks)
    machine = ("browser", "browser_start", "display")
    assert {found[name] for name in found if name not in machine} == {"ok"}
    expected = {"settings", "store", "store_key", "store_permissions", "disk", "host", "clock", "client"}
    expected |= {"client_secret", "connection", "grant", "account", "region", *machine}
    assert set(found) == expected | ({"discovery"} if sandbox.generation == "identity" else set())
    assert connector.refresh(PRACTICE, force=True).token_generation == 2


def test_it_works_with_nothing_configured(tmp_path: Path) -> None:
    """Missing settings are no failure, and the check creates nothing."""
    resources = resources_of({"ORMCO_STORE": f"sqlite:///{tmp_path}/new/connections.db"})
    (settings_check,) = local_checks.settings(resources)
    assert settings_check.result == "warning"
    assert "ORMCO_CLIENT_ID" in settings_check.detail
    assert results(list(local_checks.store(resources))) == {"store": "ok", "disk": "ok"}
    assert list(tmp_path.iterdir()) == []


def test_half_the_settings_are_a_failure() -> None:
    """A client id without the secret that this provider wants is a mistake, not an absence."""
    (check,) = local_checks.settings(resources_of({"ORMCO_CLIENT_ID": "ormco"}))
    assert check.result == "failed"
    assert status([check]) == 10


def test_missing_settings_matter_if_there_are_connections(classic: RunningSandbox, store_url: str) -> None:
    """If connections have to be kept alive, missing settings are a failure."""
    env = settings(classic, store_url)
    with opened(env) as connector:
        connect(connector, classic)
    del env["ORMCO_CLIENT_ID"], env["ORMCO_CLIENT_SECRET"]
    (check,) = local_checks.settings(resources_of(env))
    assert check.result == "failed"


def status(checks: list[Check]) -> int:
    return next((exit_status(check.error) for check in checks if check.error and check.result == "failed"), 0)


def test_no_offline_access_is_pointed_out(identity: RunningSandbox, store_url: str) -> None:
    """Scopes that bring no refresh token are noticed before consent is given for them."""
    env = settings(identity, store_url, ORMCO_SCOPE="openid profile api")
    assert results(local_checks.settings(resources_of(env))) == {"settings": "ok", "scope": "warning"}


@pytest.mark.parametrize(
    ("sandbox", "change", "name", "exit_code"),
    [
        ("classic", {"ORMCO_PROVIDER": "comunicate"}, "settings", 10),
        ("classic", {"ORMCO_PROVIDER": "/nowhere/provider.toml"}, "settings", 10),
        ("classic", {"ORMCO_REDIRECT_URI": "http://ormco.com/"}, "settings", 10),
        ("classic", {"ORMCO_CLIENT_SECRET_FILE": "/nowhere/secret"}, "settings", 10),
        ("classic", {"ORMCO_CLIENT_SECRET": "wrong"}, "client_secret", 10),
        ("identity", {"ORMCO_CLIENT_SECRET": "wrong"}, "client_secret", 10),
        ("classic", {"ORMCO_CLIENT_ID": "nobody"}, "client", 10),
        ("identity", {"ORMCO_CLIENT_ID": "nobody"}, "client", 10),
        ("classic", {"ORMCO_REDIRECT_URI": "https://ormco.com/elsewhere"}, "client", 10),
        ("identity", {"ORMCO_REDIRECT_URI": "https://ormco.com/elsewhere"}, "client", 10),
        ("classic", {"ORMCO_STORE_KEYS": "bm90IHRoZSBrZXkgdGhhdCB3YXMgdXNlZCBhdCBhbGw="}, "store_key", 9),
        ("classic", {"ORMCO_STORE_KEYS": "too short"}, "store_key", 9),
        ("classic", {"ORMCO_STORE": "mysql://localhost/x"}, "store", 10),
        ("classic", {"ORMCO_BROWSER": "/nowhere/chrome"}, "browser", 10),
    ],
    indirect=["sandbox"],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(value),
)
def test_each_wrong_setting_is_found_by_its_own_check(
    sandbox: RunningSandbox, store_url: str, change: dict[str, str], name: str, exit_code: int
) -> None:
    """A wrong setting fails its own check, with its exit status and a cure."""
    with opened(settings(sandbox, store_url)) as connector:
        connect(connector, sandbox)
    with opened(settings(sandbox, store_url) | change) as connector:
        checks = list(connector.doctor(only=ALL_CHECKS))
    check = next(check for check in checks if check.result == "failed")
    assert check.name == name
    assert check.cure
    assert status(checks) == exit_code


FAULTS = [("outage", 5), ("captive-portal", 5), ("text-500", 5), ("rate-limited", 5), ("error-page", 10)]


@pytest.mark.parametrize(("fault", "exit_code"), FAULTS)
def test_each_fault_of_the_provider_fails_a_check(
    sandbox: RunningSandbox, connector: Connector, fault: str, exit_code: int
) -> None:
    """A provider that is out of order is distinguished from settings that are wrong, and nothing is lost."""
    before = connect(connector, sandbox)
    sandbox.set_scenarios(fault)
    checks = list(connector.doctor(PRACTICE, only=ALL_CHECKS))
    assert status(checks) == exit_code
    assert connector.status(PRACTICE) == before


def test_a_missing_host(classic: RunningSandbox, store_url: str, tmp_path: Path) -> None:
    """Each host is named: a missing essential host is a failure, any other one a warning."""
    text = Path(classic.provider_file).read_text("utf-8")
    own = f'portal_url = "{classic.url}/portal"'
    assert own in text
    file = tmp_path / "provider.toml"
    file.write_text(text.replace(own, 'portal_url = "http://127.0.0.1:9/portal"'), "utf-8")
    checks = provider_checks.hosts(resources_of(settings(classic, store_url, ORMCO_PROVIDER=str(file))))
    assert the("host 127.0.0.1:9", checks).result == "warning"
    file.write_text(text.replace(f"{classic.url}/oauth/token", "http://127.0.0.1:9/oauth/token"), "utf-8")
    checks = provider_checks.hosts(resources_of(settings(classic, store_url, ORMCO_PROVIDER=str(file))))
    assert the("host 127.0.0.1:9", checks).result == "failed"


@contextmanager
def server_with_date(offset: timedelta) -> Iterator[str]:
    """A provider whose clock differs."""

    class Handler(PageHandler):
        def do_HEAD(self) -> None:  # noqa: N802 - of http.server
            self.send_response_only(200)
            self.send_header("Date", format_datetime(datetime.now(UTC) + offset, usegmt=True))
            self.end_headers()

    with serving(Handler) as url:
        yield url


@pytest.mark.parametrize(
    ("seconds", "result"), [(0, "ok"), (-60, "warning"), (60, "warning"), (3600, "failed"), (-3600, "failed")]
)
def test_the_clock_is_compared(seconds: int, result: str, tmp_path: Path) -> None:
    """A clock that is wrong is reported, by how much and in which direction."""
    with server_with_date(timedelta(seconds=-seconds)) as url:
        file = tmp_path / "provider.toml"
        file.write_text(
            f'[provider]\nauthorization_endpoint = "{url}/a"\ntoken_endpoint = "{url}/t"\n', "utf-8"
        )
        checks = provider_checks.hosts(resources_of({"ORMCO_PROVIDER": str(file)}))
    check = the("clock", checks)
    assert check.result == result
    if seconds:
        assert ("ahead of" if seconds > 0 else "behind") in check.detail


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_a_key_file_and_its_readers_are_pointed_out(
    classic: RunningSandbox, store_url: str, tmp_path: Path
) -> None:
    """A key in a file is reported, and so are other users who can read it or the store."""
    env = settings(classic, store_url)
    del env["ORMCO_STORE_KEYS"]
    with opened(env) as connector:
        connect(connector, classic)
    with stored(env) as store:
        place = store.facts()["key_place"]
    resources = resources_of(env)
    assert results(local_checks.store(resources)) == {
        "store": "ok",
        "store_key": "warning",
        "store_permissions": "ok",
        "disk": "ok",
    }
    Path(place).chmod(0o644)
    (tmp_path / "connections.db").chmod(0o640)
    tmp_path.chmod(0o777)
    found = results(local_checks.store(resources))
    names = ("store_key_file", "store_permissions", "store_folder")
    assert [found[name] for name in names] == ["warning", "warning", "warning"]


def test_a_damaged_store_fails(tmp_path: Path) -> None:
    """A file that is no store is reported as such."""
    path = tmp_path / "connections.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 40)
    resources = resources_of({"ORMCO_STORE": f"sqlite:///{path}", "ORMCO_BROWSER": "/nowhere"})
    checks = list(examine(resources, lambda: pytest.fail("needed"), PRACTICE))
    assert the("store", checks).result == "failed"
    assert "connection" not in results(checks)  # it would only repeat the same failure


def test_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a display, the ways without one are named."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    (check,) = local_checks.display()
    assert check.result == "warning"
    assert "paste the response" in check.cure
    with socket.create_server(("127.0.0.1", 0)) as x_server:
        monkeypatch.setenv("DISPLAY", f"127.0.0.1:{x_server.getsockname()[1] - 6000}")
        (check,) = local_checks.display()
        assert check.result == "ok"
    (check,) = local_checks.display()
    assert "does not respond" in check.detail


@pytest.mark.parametrize(("skew", "result"), [(2.0, "ok"), (-40.0, "warning"), (86_400.0, "failed")])
def test_a_difference_of_clocks(skew: float, result: str) -> None:
    """A difference that is felt is a warning, and one that breaks things is a failure."""
    check = clock_check("store_clock", skew, "the database's")
    assert check.result == result
    assert "the database's" in check.detail


def test_an_unknown_practice_fails(classic: RunningSandbox, connector: Connector) -> None:
    """An unknown practice has the exit status for it."""
    connect(connector, classic)
    assert status(list(connector.doctor("practice-0"))) == 6


def test_a_dead_grant_fails_with_the_next_step(sandbox: RunningSandbox, connector: Connector) -> None:
    """A connection that needs a person is reported with the next step."""
    connect(connector, sandbox)
    kill_grant(connector, sandbox)
    checks = list(connector.doctor(PRACTICE))
    assert status(checks) == 7
    assert the("connection", checks).cure.startswith("Repair the connection")
    glance = the("connections", list(connector.doctor()))
    assert (glance.result, glance.detail) == ("warning", "1 needs repair; 1 needs attention")


def test_a_revoked_connection_fails(sandbox: RunningSandbox, connector: Connector) -> None:
    """A revoked connection is reported as revoked, and needs no attention among all."""
    connect(connector, sandbox)
    sandbox.set_scenarios("revoked")
    connector.revoke(PRACTICE, removal=Removal())
    assert status(list(connector.doctor(PRACTICE))) == 7
    assert the("connections", list(connector.doctor())).result == "ok"


def test_a_connection_that_cannot_be_renewed_warns(sandbox: RunningSandbox, connector: Connector) -> None:
    """A connection without a refresh token is reported before its access token ends."""
    sandbox.set_scenarios("no-refresh-token")
    connect(connector, sandbox)
    check = the("grant", list(connector.doctor(PRACTICE)))
    assert check.result == "warning"
    assert "no refresh token" in check.detail


def test_an_access_token_that_is_refused_fails(classic: RunningSandbox, connector: Connector) -> None:
    """A grant that was removed at the provider is detected by using it."""
    connect(connector, classic)
    classic.set_scenarios("revoked")
    assert status(list(connector.doctor(PRACTICE))) == 7


@pytest.mark.parametrize(
    ("lab", "result"),
    [
        (None, None),
        (LabConnection(state="active", email="lab@example.test"), "ok"),
        (LabConnection(state="requested", email="lab@example.test"), "warning"),
        (LabConnection(state="none"), "warning"),
    ],
    ids=["unknown", "active", "requested", "none"],
)
def test_the_lab_connection(lab: LabConnection | None, result: str | None) -> None:
    """The last known state of the lab connection is reported; an unknown one is not."""
    from connector.connection import Connection, ConnectionState

    connection = Connection(
        practice_id=PRACTICE,
        provider="communicate",
        state=ConnectionState.CONNECTED,
        since=datetime.now(UTC),
        lab=lab,
    )
    assert [check.result.value for check in connection_checks._lab(connection)] == (
        [result] if result else []
    )


def test_no_secret_is_shown(connector: Connector, sandbox: RunningSandbox, store_url: str) -> None:
    """No check shows a secret, whichever fails."""
    env = settings(sandbox, store_url)
    connect(connector, sandbox)
    hidden = [env["ORMCO_CLIENT_SECRET"], env["ORMCO_STORE_KEYS"]]
    with stored(env) as store:
        hidden += map(str, value_of(store, PRACTICE))
    for scenario in ("", "outage", "error-page", "revoked"):
        sandbox.set_scenarios(*filter(None, [scenario]))
        text = str([(check, check.error and check.error.hint) for check in connector.doctor(PRACTICE)])
        assert not [secret for secret in hidden if secret in text]


def test_a_health_check_starts_nothing(classic: RunningSandbox, connector: Connector) -> None:
    """By default the doctor neither calls the token endpoint nor starts a browser."""
    names = results(list(connector.doctor()))
    assert not {"client_secret", "browser_start"} & set(names)
    assert not [name for name in classic.counters() if name.startswith("token")]


def test_only_the_named_checks_run(classic: RunningSandbox, tmp_path: Path) -> None:
    """A program chooses its checks by name; an unknown name is an error."""
    with opened(settings(classic, f"sqlite:///{tmp_path}/new.db")) as connector:
        assert list(results(list(connector.doctor(only=["store", "display"])))) == [
            "store",
            "disk",
            "display",
        ]
        with pytest.raises(ValueError, match="no such check: stor"):
            list(connector.doctor(only=["stor"]))


def test_a_check_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, store_url: str) -> None:
    """A check that never ends is reported as such, and the others continue."""
    release = threading.Event()
    monkeypatch.setattr("connector.doctor.examination._SECONDS", 0.2)
    monkeypatch.setattr("connector.doctor.local_checks.display", lambda: release.wait(60) and [])
    env = {"ORMCO_STORE": store_url, "ORMCO_PROVIDER": "no-such", "ORMCO_BROWSER": "/nowhere"}
    try:
        checks = list(examine(resources_of(env), lambda: pytest.fail("needed"), None))
    finally:
        release.set()
    assert "no result within" in the("display", checks).detail
    assert checks[-1].name == "connections"


@pytest.mark.parametrize(("kind", "pooled"), [("postgresql", False), ("pgbouncer", True)])
def test_a_pooler_and_the_databases_clock_are_named(
    kind: str, pooled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report names a PgBouncer in between, and says whether the two clocks agree."""
    monkeypatch.setenv("PATH", os.defpath)  # so that both programs are found
    resources = resources_of({"ORMCO_STORE": fresh_url(kind, tmp_path), "ORMCO_STORE_KEYS": KEY})
    resources.store.check()
    checks = list(local_checks.store(resources))
    assert ("PgBouncer" in the("store", checks).detail) is pooled
    assert the("store_clock", checks).result == "ok"
