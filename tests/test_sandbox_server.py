"""The sandbox as a whole: its address, its description, its borders and its control."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from connector.sandbox import SCENARIOS, Sandbox
from tests.support.sandbox import TIMEOUT, running_sandbox

DOCUMENTED_SCENARIOS = {
    *("deny", "popup", "redirect-chain", "error-page", "landing-down", "slow", "outage", "empty-401"),
    *("text-500", "captive-portal", "rate-limited", "lost-answer", "no-rotation", "reuse-revokes"),
    *("no-refresh-token", "scope-shrinks", "short-lived", "revoked", "pending-lab", "other-account"),
    "page-changed",
}


def test_description_has_what_a_client_needs():
    """The description's keys are the documented ones, and it is JSON."""
    with running_sandbox() as sandbox:
        assert list(json.loads(json.dumps(sandbox.description))) == [
            "generation",
            "provider_file",
            "client_id",
            "client_secret",
            "redirect_uri",
            "practice",
            "other_practice",
            "lab",
            "portal_url",
            "applications_page",
            "ormcodigital_url",
            "control_url",
        ]


@pytest.mark.parametrize("generation", ["classic", "identity"])
def test_accounts_are_the_same_at_every_start(generation):
    """Two sandboxes differ in nothing but their addresses."""
    with running_sandbox(generation) as one, running_sandbox(generation) as other:
        ports = {str(urlsplit(sandbox.url).port) for sandbox in (one, other)}
        assert len(ports) == 2
        fixed = ("client_id", "client_secret", "redirect_uri", "practice", "other_practice", "lab")
        assert [one.description[key] for key in fixed] == [other.description[key] for key in fixed]


def test_provider_file_describes_the_classic_server():
    """The TOML file has the classic server's addresses and habits."""
    with running_sandbox() as sandbox:
        provider = tomllib.loads(Path(sandbox.provider_file).read_text("utf-8"))["provider"]
    assert provider["authorization_endpoint"] == f"{sandbox.url}/oauth/authorise"
    assert provider["token_endpoint"] == f"{sandbox.url}/oauth/token"
    assert provider["users_url"] == sandbox.url
    assert set(provider["metadata_urls"]) == {"americas", "europe", "asia-pacific"}
    assert (provider["code_format"], provider["pkce"]) == ("dotnetopenauth", False)
    assert (provider["returns_state"], provider["basic_encoding"]) == ("unknown", "raw")


def test_provider_file_of_identity_names_the_issuer():
    """The identity file leaves the endpoints to discovery."""
    with running_sandbox("identity") as sandbox:
        provider = tomllib.loads(Path(sandbox.provider_file).read_text("utf-8"))["provider"]
    assert provider["issuer"] == sandbox.url
    assert "token_endpoint" not in provider
    assert provider["code_format"] == "identityserver"


def test_stop_leaves_nothing_behind():
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


def port_of(sandbox):
    return urlsplit(sandbox.url).port


def test_stop_does_not_wait_for_idle_connections():
    """A browser that keeps a connection open does not keep the sandbox from stopping."""
    with running_sandbox() as sandbox:
        idle = socket.create_connection(("127.0.0.1", port_of(sandbox)), 5)
        requests.get(sandbox.control_url, timeout=TIMEOUT)
    with idle:
        assert idle.recv(1) == b""


def test_taken_port_is_an_error_and_not_an_exit():
    """A port that is in use raises OSError."""
    with running_sandbox() as sandbox, pytest.raises(OSError, match="in use"):
        Sandbox(port=port_of(sandbox)).start()


def test_unknown_names_are_refused():
    """A generation or scenario that does not exist is refused before anything starts."""
    with pytest.raises(ValueError, match="no generation 'modern'"):
        Sandbox("modern")
    with pytest.raises(ValueError, match="no scenario 'dney'"):
        Sandbox(scenarios=["dney"])


def test_scenarios_are_described():
    """Every documented scenario exists and has its line of description."""
    assert SCENARIOS.keys() >= DOCUMENTED_SCENARIOS
    assert all(text and "\n" not in text for text in SCENARIOS.values())


def test_import_is_light():
    """Importing the sandbox loads neither Flask nor Authlib."""
    code = (
        "import sys, connector.sandbox; print(sorted({'flask', 'authlib', 'werkzeug'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_sandbox_is_a_stranger():
    """The sandbox imports nothing of the package but its own modules."""
    for path in Path(sys.modules["connector.sandbox"].__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not str(name).startswith("connector") or str(name).startswith("connector.sandbox")


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1", "127.0.0.1:1", "localhost", ""])
def test_other_host_names_are_refused(host):
    """A page whose name was made to point at this machine gets nothing (DNS rebinding)."""
    with running_sandbox() as sandbox:
        for path in ("/Account/Login", "/sandbox/control", "/static/style.css"):
            answer = requests.get(sandbox.url + path, headers={"Host": host}, timeout=TIMEOUT)
            assert answer.status_code == 400


def test_control_sets_and_shows():
    """POST replaces what it names; GET shows the settings."""
    with running_sandbox(scenarios=["deny"]) as sandbox:
        assert requests.get(sandbox.control_url, timeout=TIMEOUT).json()["scenarios"] == ["deny"]
        changes = {"scenarios": ["popup", "slow"], "approval_seconds": 0, "slow_seconds": 0.5}
        requests.post(sandbox.control_url, json=changes, timeout=TIMEOUT).raise_for_status()
        shown = requests.get(sandbox.control_url, timeout=TIMEOUT).json()
    assert {key: shown[key] for key in changes} == changes


@pytest.mark.parametrize(
    "body",
    [
        {"scenarios": ["nonsense"], "approval_seconds": 9},
        {"scenarios": "deny"},
        {"scenarios": [{}]},
        {"approval_seconds": -1},
        {"approval_seconds": True},
        {"slow_seconds": None},
        {"scenario": ["deny"]},
        [],
    ],
)
def test_control_refuses_what_it_does_not_understand(body):
    """A mistake in the body is answered with 400 and changes nothing."""
    with running_sandbox() as sandbox:
        before = requests.get(sandbox.control_url, timeout=TIMEOUT).json()
        answer = requests.post(sandbox.control_url, json=body, timeout=TIMEOUT)
        assert (answer.status_code, "Message" in answer.json()) == (400, True)
        assert requests.get(sandbox.control_url, timeout=TIMEOUT).json() == before


def test_control_cannot_be_reached_by_a_form():
    """What a foreign web page can send without asking is refused."""
    with running_sandbox() as sandbox:
        answer = requests.post(
            sandbox.control_url,
            data='{"scenarios": ["deny"]}',
            headers={"Content-Type": "text/plain"},
            timeout=5,
        )
        assert answer.status_code == 415


@pytest.mark.parametrize(
    "path", ["/Account/Login", "/User/Applications", "/ormcodigital/login", "/portal/login"]
)
def test_forms_need_their_token(path):
    """A form that no page of the sandbox has made is refused."""
    with running_sandbox() as sandbox:
        answer = requests.post(sandbox.url + path, data={"Email": sandbox.practice.username}, timeout=TIMEOUT)
        assert answer.status_code == 400
