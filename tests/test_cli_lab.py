"""`ormco lab`, and the lab step of `ormco connect`."""

from __future__ import annotations

import pytest

from connector import Connector
from tests.support.commands import payload, printed, run
from tests.support.connecting import connect
from tests.support.lab import EMAILS, UsersApi
from tests.support.sandbox import RunningSandbox

LAB = EMAILS["americas"]


@pytest.fixture
def sandbox(classic: RunningSandbox) -> RunningSandbox:
    classic.control(approval_seconds=None)
    return classic


@pytest.fixture(autouse=True)
def _connected(connector: Connector, sandbox: RunningSandbox) -> None:
    """The practice and Ormco's lab of its region are connected."""
    connect(connector, sandbox, "practice-42")
    connect(connector, sandbox, "lab:americas", sandbox.lab)


def test_request_and_approve(env: dict[str, str]) -> None:
    """The practice asks, the lab accepts, and `status` of both commands shows it."""
    assert printed(env, "lab", "request", "practice-42") == {
        "version": 1,
        "practice": "practice-42",
        "state": "requested",
        "email": LAB,
        "region": "americas",
        "waiting_on": "lab",
        "step": "request",
        "found": f"request sent to {LAB}, waiting for approval",
        "others": [],
    }
    assert printed(env, "lab", "approve", "practice-42")["step"] == "approve"
    assert printed(env, "lab", "status", "practice-42")["state"] == "active"
    shown = printed(env, "status", "practice-42")["connections"][0]
    assert shown["lab"] == {"state": "active", "email": LAB}


def test_text_names_the_next_command(env: dict[str, str]) -> None:
    """Without --json the state is a sentence, with the command to run next."""
    assert "ormco lab request practice-42" in run(env, "lab", "status", "practice-42").stdout
    asked = run(env, "lab", "request", "practice-42").stdout
    assert f"Request sent to {LAB}, waiting for approval. It can take up to 24 hours" in asked
    assert "ormco lab status practice-42 --wait 86400" in asked


def test_wait_that_ends(env: dict[str, str]) -> None:
    """A wait that ends too early has status 6; it shows that Ctrl-C is safe, and the command to continue."""
    result = run(env, "lab", "request", "practice-42", "--wait", "0.2")
    assert result.exit_code == 6
    assert "Ctrl-C is safe" in result.stderr
    assert "Hint: It can take 24 hours: ormco lab status practice-42 --wait 86400" in result.stderr
    assert printed(env, "lab", "status", "practice-42")["state"] == "requested"


def test_lab_of_another_region(env: dict[str, str], sandbox: RunningSandbox) -> None:
    """The wrong region's lab is named on stderr and in the JSON."""
    UsersApi(sandbox, sandbox.practice).ask(EMAILS["asia-pacific"])
    result = run(env, "lab", "status", "practice-42", "--json")
    assert payload(result)["others"] == [{"state": "requested", "email": "Insignia.SupportAsia@ormco.com"}]
    assert "Ormco's lab of another region" in result.stderr


def test_approve_all(env: dict[str, str], sandbox: RunningSandbox) -> None:
    """All requests to a lab are accepted with --all; without it, only a person at a terminal chooses."""
    UsersApi(sandbox, sandbox.other_practice).ask(LAB)
    assert payload(run(env, "lab", "approve", "lab:americas", "--json"))["error"]["kind"] == "usage"
    done = printed(env, "lab", "approve", "lab:americas", "--all")
    assert [each["email"] for each in done["accepted"]] == [sandbox.other_practice.username]
    assert run(env, "lab", "approve", "lab:americas").stdout == "No request is open at lab:americas.\n"


def test_approve_one_by_one(
    env: dict[str, str], sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal each is asked about."""
    UsersApi(sandbox, sandbox.other_practice).ask(LAB)
    run(env, "lab", "request", "practice-42")
    monkeypatch.setattr("connector.cli.lab.can_ask", lambda: True)
    result = run(env, "lab", "approve", "lab:americas", stdin="n\ny\n")
    assert f"Accept Linden Kieferorthopädie <{sandbox.other_practice.username}>?" in result.stderr
    assert result.stdout == "1 of 2 accepted.\n"
    assert printed(env, "lab", "status", "practice-42")["state"] == "active"


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "practice-42", "--wait", "86401"),
        ("approve", "lab:americas", "--wait", "5"),
        ("approve", "practice-42", "--all"),
    ],
)
def test_options_that_do_not_fit(arguments: tuple[str, ...], env: dict[str, str]) -> None:
    """Options that mean nothing together, and a wait of more than a day, are usage errors."""
    assert run(env, "lab", *arguments).exit_code == 2


def test_unconnected_lab(env: dict[str, str]) -> None:
    """A lab that is not connected is status 6, with the command that connects it."""
    result = run(env, "lab", "approve", "lab:europe", "--all")
    assert result.exit_code == 6
    assert "ormco connect lab:europe" in result.stderr


def test_refusal_ends_in_the_portal(sandbox: RunningSandbox, env: dict[str, str]) -> None:
    """If the API does not help, the guide's steps do."""
    result = run(env | {"ORMCO_LAB_AMERICAS": "nobody@lab.test"}, "lab", "request", "practice-42")
    assert result.exit_code == 6
    for words in ("Connections", "Add Connection", "Find", "Ormco Corporation", "nobody@lab.test"):
        assert words in result.stderr


@pytest.mark.parametrize("choice", [(), ("--no-lab",)], ids=["default", "--no-lab"])
def test_connect_continues_with_the_lab(choice: tuple[str, ...], env: dict[str, str]) -> None:
    """`connect` asks the lab too, unless `--no-lab` is given."""
    connection = printed(env, "connect", "practice-42", *choice)
    assert connection["lab"] == (None if choice else {"state": "requested", "email": LAB})


def test_connect_of_a_lab_has_no_lab(env: dict[str, str]) -> None:
    """The lab's own account is connected like any other, without a lab of its own."""
    connection = printed(env, "connect", "lab:americas")
    assert (connection["state"], connection["lab"]) == ("connected", None)


def test_lab_that_fails_leaves_the_connection(env: dict[str, str]) -> None:
    """A lab step that fails is reported with its hint; the connection is there and printed."""
    result = run(env | {"ORMCO_LAB_AMERICAS": "nobody@lab.test"}, "connect", "practice-42", "--json")
    assert result.exit_code == 0
    assert payload(result)["state"] == "connected"
    assert "practice-42 is connected, but not to the lab: the users API knows no lab" in result.stderr
    assert "Add Connection" in result.stderr
    assert "ormco lab request practice-42" in result.stderr
