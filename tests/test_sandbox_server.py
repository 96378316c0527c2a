"""The sandbox as a whole: its address, its description, its start and its end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from time_machine import TimeMachineFixture

from connector.sandbox import SCENARIOS, Sandbox
from connector.sandbox.scenarios import CASE_SCENARIOS
from tests.support.oauth_calls import connected, me, refresh, refusal
from tests.support.sandbox import TIMEOUT, RunningSandbox, running_sandbox

DOCUMENTED_SCENARIOS = {
    *("deny", "popup", "redirect-chain", "error-page", "landing-down", "slow", "outage", "empty-401"),
    *("text-500", "captive-portal", "rate-limited", "lost-answer", "no-rotation", "reuse-revokes"),
    *("no-refresh-token", "scope-shrinks", "short-lived", "revoked", "pending-lab", "other-account"),
    "page-changed",
}


def test_description_has_everything_for_a_client() -> None:
    """The description's keys are the documented ones, and it is JSON."""
    with running_sandbox() as sandbox:
        assert list(json.loads(json.dumps(sandbox.description))) == [
            *("generation", "provider_file", "client_id", "client_secret", "redirect_uri", "practice"),
            *("other_practice", "lab", "portal_url", "applications_page"),
            *("ormcodigital_url", "control_url"),
        ]


@pytest.mark.parametrize("generation", ["classic", "identity"])
def test_accounts_are_the_same_at_every_start(generation: str) -> None:
    """Two sandboxes differ in nothing but their addresses."""
    with running_sandbox(generation) as one, running_sandbox(generation) as other:
        ports = {str(urlsplit(sandbox.url).port) for sandbox in (one, other)}
        assert len(ports) == 2
        fixed = ("client_id", "client_secret", "redirect_uri", "practice", "other_practice", "lab")
        assert [one.description[key] for key in fixed] == [other.description[key] for key in fixed]


def test_provider_file_describes_the_classic_server() -> None:
    """The TOML file has the classic server's addresses and habits."""
    with running_sandbox() as sandbox:
        provider = tomllib.loads(Path(sandbox.provider_file).read_text("utf-8"))["provider"]
    assert provider["authorization_endpoint"] == f"{sandbox.url}/oauth/authorise"
    assert provider["token_endpoint"] == f"{sandbox.url}/oauth/token"
    assert provider["users_url"] == sandbox.url
    assert set(provider["metadata_urls"]) == {"americas", "europe", "asia-pacific"}
    assert (provider["code_format"], provider["pkce"]) == ("dotnetopenauth", False)
    assert (provider["returns_state"], provider["basic_encoding"]) == ("unknown", "raw")


def test_provider_file_of_identity_names_the_issuer() -> None:
    """The identity file leaves the endpoints to discovery."""
    with running_sandbox("identity") as sandbox:
        provider = tomllib.loads(Path(sandbox.provider_file).read_text("utf-8"))["provider"]
    assert provider["issuer"] == sandbox.url
    assert "token_endpoint" not in provider
    assert provider["code_format"] == "identityserver"


def test_scope_in_the_provider_file_can_be_chosen() -> None:
    """Clients ask for this scope by default; one that the generation lacks is refused."""
    with running_sandbox("identity", scope="openid api") as sandbox:
        assert 'scope = "openid api"' in Path(sandbox.provider_file).read_text("utf-8")
    with pytest.raises(ValueError, match="no scope 'everything'"):
        Sandbox("identity", scope="openid everything")


def test_stop_leaves_nothing_behind() -> None:
    """After the end, the provider file is gone and the port is closed."""
    with running_sandbox() as sandbox:
        folder = Path(sandbox.provider_file).parent
        assert folder.is_dir()
    assert not folder.exists()
    with (
        pytest.raises(OSError, match="refused"),
        socket.create_connection(("127.0.0.1", port_of(sandbox)), 5),
    ):
        pass


def port_of(sandbox: RunningSandbox) -> int:
    return urlsplit(sandbox.url).port or 0


def test_malformed_request_gets_a_response(classic: RunningSandbox) -> None:
    """A malformed HTTP request gets 400, and the sandbox continues to run."""
    with socket.create_connection(("127.0.0.1", port_of(classic)), 20) as connection:
        connection.sendall(b"GET / HTTP/nonsense\r\n\r\n")
        assert b" 400 " in connection.recv(65536)
    assert classic.control()["counters"] == {}


def test_stop_does_not_wait_for_idle_connections() -> None:
    """A browser that keeps a connection open does not keep the sandbox from stopping."""
    with running_sandbox() as sandbox:
        idle = socket.create_connection(("127.0.0.1", port_of(sandbox)), 5)
        requests.get(sandbox.control_url, timeout=TIMEOUT)
    with idle:
        assert idle.recv(1) == b""


def test_taken_port_is_an_error_and_not_an_exit() -> None:
    """A port that is in use raises OSError."""
    with running_sandbox() as sandbox, pytest.raises(OSError, match="in use"):
        Sandbox(port=port_of(sandbox)).start()


def test_unknown_names_are_refused() -> None:
    """A generation or scenario that does not exist is refused before anything starts."""
    with pytest.raises(ValueError, match="no generation 'modern'"):
        Sandbox("modern")
    with pytest.raises(ValueError, match="no scenario 'dney'"):
        Sandbox(scenarios=["dney"])


def test_scenarios_are_described() -> None:
    """Every documented scenario exists and has its line of description, those of cases too."""
    assert SCENARIOS.keys() >= DOCUMENTED_SCENARIOS | CASE_SCENARIOS.keys()
    assert all(text and "\n" not in text for text in SCENARIOS.values())


def test_folder_of_a_killed_sandbox_is_removed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes when its process is dead, however it died, and not before; nothing else goes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "ormco-sandbox-file").write_text("")
    code = (
        "import sys; from connector.sandbox import Sandbox\n"
        "running = Sandbox().start(); print(flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with running_sandbox():
            assert len(list(tmp_path.glob("*/provider.toml"))) == 2
        assert len(list(tmp_path.glob("*/provider.toml"))) == 1
        owner.kill()
    with running_sandbox():
        assert len(list(tmp_path.glob("*/provider.toml"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ormco-sandbox-file"]


def test_refresh_rotates(sandbox: RunningSandbox) -> None:
    """A refresh returns a new pair with the same scope; the old refresh token is then an invalid grant."""
    first = connected(sandbox)
    second = refresh(sandbox, first).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second.get("scope") == first.get("scope")
    assert refusal(refresh(sandbox, first)) == (400, "invalid_grant")
    assert refresh(sandbox, second).status_code == 200


def test_access_token_ends(sandbox: RunningSandbox, time_machine: TimeMachineFixture) -> None:
    """After its lifetime an access token is refused."""
    time_machine.move_to("2030-01-01T12:00:00Z")
    token = connected(sandbox)
    assert me(sandbox, token).status_code == 200
    time_machine.shift(3601)
    assert me(sandbox, token).status_code == 401
