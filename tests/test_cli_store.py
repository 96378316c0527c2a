"""`begin`, `complete`, `status`, `token`, `refresh`, `keys` and `audit`: their output."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine

from connector import Connector
from connector.refresh.tally import Done, RefreshSummary
from tests.support.commands import CONNECTION_KEYS, printed, run, run_alone
from tests.support.connecting import KEY
from tests.support.sandbox import RunningSandbox, SignIn


@pytest.fixture
def connected(env: dict[str, str], classic: RunningSandbox) -> dict[str, str]:
    """The environment of a store with practice-42 connected, by the two halves."""
    printed_text = give_consent(env, classic, "practice-42")
    assert "practice-42 is connected to front.desk@maple-ortho.test" in printed_text
    return env


def give_consent(
    env: dict[str, str], sandbox: RunningSandbox, practice: str, who: SignIn | None = None
) -> str:
    """Connect a practice by the two halves; return the output of the second."""
    url = printed(env, "begin", practice)["authorization_url"]
    response = sandbox.authorize(url, who=who)
    result = run(env, "complete", practice, stdin=f"here you are: {response} thanks")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_same_response_twice_is_reported_as_connected(env: dict[str, str], classic: RunningSandbox) -> None:
    """If an address is pasted again, the command says that the practice is connected."""
    response = classic.authorize(run(env, "begin", "practice-42").stdout.strip())
    assert run(env, "complete", "practice-42", stdin=response).exit_code == 0
    again = run(env, "complete", "practice-42", stdin=response)
    assert "practice-42 is connected" in again.output
    assert "ormco begin" not in again.output


def test_status_has_the_documented_keys(connected: dict[str, str]) -> None:
    """Programs find every key of a connection, also the empty ones."""
    (connection,) = printed(connected, "status")["connections"]
    assert list(connection) == CONNECTION_KEYS
    assert (connection["state"], connection["token_generation"], connection["next"]) == ("connected", 1, None)
    assert list(connection["account"]) == ["id", "email", "name", "region"]


def test_status_names_practices_that_need_attention(
    connected: dict[str, str], classic: RunningSandbox
) -> None:
    """A dead connection is listed with the reason and the command that repairs it; healthy ones are not."""
    assert printed(connected, "status", "--needs-attention")["connections"] == []
    classic.set_scenarios("revoked")
    with time_machine.travel(timedelta(hours=2), tick=True):
        assert run(connected, "token", "practice-42").exit_code == 7
    result = run(connected, "status", "--needs-attention")
    assert "needs_repair\t" in result.stdout
    assert "3Shape does not accept the grant any more\tormco repair practice-42" in result.stdout


@pytest.mark.parametrize("command", ["status", "audit", "keys rotate"])
def test_a_mistyped_store_is_an_error(env: dict[str, str], command: str) -> None:
    """A configured store that does not exist is a store error, not an empty store; nothing is created."""
    env["ORMCO_STORE"] += "-mistyped"
    result = run(env, *command.split())
    assert result.exit_code == 9
    assert "there is no store at" in result.stderr
    assert "ORMCO_STORE" in result.stderr
    assert not Path(env["ORMCO_STORE"].removeprefix("sqlite:///")).exists()


def test_status_of_a_missing_store(env: dict[str, str], tmp_path: Path) -> None:
    """The default store need not exist yet; looking at it makes none."""
    fresh = {**env, "ORMCO_STORE": "", "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    assert run(fresh, "status").stdout == "No connections.\n"
    assert printed(fresh, "status") == {"version": 1, "connections": []}
    assert not (tmp_path / "data").exists()


def test_status_json_is_one_object_for_any_number(connected: dict[str, str], classic: RunningSandbox) -> None:
    """Connections are printed as they are read, and still make one JSON object."""
    give_consent(connected, classic, "practice-7", classic.other_practice)
    practices = [one["practice"] for one in printed(connected, "status")["connections"]]
    assert practices == ["practice-42", "practice-7"]


def test_a_similar_practice_id_is_suggested(connected: dict[str, str]) -> None:
    """For a misspelt practice the error suggests a similar one."""
    result = run(connected, "status", "practise-42")
    assert result.exit_code == 6
    assert "Did you mean practice-42?" in result.stderr


def test_the_shell_completes_practices(connected: dict[str, str]) -> None:
    """The practices of the store complete; without a store nothing is printed into the line."""
    words = {"COMP_WORDS": "ormco repair pra", "COMP_CWORD": "2", "_ORMCO_COMPLETE": "bash_complete"}
    assert run(connected | words).stdout == "plain,practice-42\n"
    assert run(connected | words | {"ORMCO_STORE": "sqlite:////nowhere/at/all"}).stdout.strip() == ""


def test_a_completion_runs_nothing_in_bash(connected: dict[str, str], classic: RunningSandbox) -> None:
    """Bash puts a completion into the line as it is; zsh and fish quote it themselves."""
    give_consent(connected, classic, "x; rm -rf y", classic.other_practice)
    words = {"COMP_WORDS": "ormco repair x", "COMP_CWORD": "2"}
    assert run(connected | words | {"_ORMCO_COMPLETE": "bash_complete"}).stdout == "plain,'x; rm -rf y'\n"
    assert "\nx; rm -rf y\n" in run(connected | words | {"_ORMCO_COMPLETE": "zsh_complete"}).stdout


def test_token_prints_the_token_alone(connected: dict[str, str]) -> None:
    """A script can take the whole output as the token."""
    result = run(connected, "token", "practice-42")
    assert result.stdout.startswith("AAEAA")
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_refresh_counts_its_results(connected: dict[str, str], classic: RunningSandbox) -> None:
    """A timer's run says how many were refreshed; a fresh token is left alone."""
    summary = printed(connected, "refresh", "--due-within", "60")
    assert [summary[name] for name in ("total", "refreshed", "failed")] == [0, 0, 0]
    assert classic.refreshes == 0


@pytest.mark.parametrize(("share", "status"), [("0.1", 5), ("1", 0)])
def test_refresh_fails_with_too_many_failures(
    connected: dict[str, str], classic: RunningSandbox, share: str, status: int
) -> None:
    """A timer's log and a monitor see that a run has failed."""
    classic.set_scenarios("revoked")
    with time_machine.travel(timedelta(minutes=50), tick=True):
        result = run(connected, "refresh", "--max-failed", share)
    assert result.exit_code == status
    assert "0 refreshed, 1 failed" in result.stdout


def test_a_retry_is_not_shown_as_progress(connected: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A practice that is refreshed after a refusal does not print the end of the run again."""

    def refresh_due(
        connector: Connector, *, progress: Callable[[Done], object], **_: object
    ) -> RefreshSummary:
        for practice_id in ("maple", "oak", "elm"):
            progress(Done(practice_id=practice_id, outcome="refreshed", number=3, total=3))
        return RefreshSummary(total=3, refreshed=3)

    monkeypatch.setattr(Connector, "refresh_due", refresh_due)
    assert run(connected, "refresh").stderr.count("[3/3]") == 1


def test_fresh_token_is_reported_as_not_due(connected: dict[str, str]) -> None:
    """A token before half of its life is not refreshed, and counts neither as busy nor as failed."""
    result = run(connected, "refresh", "--due-within", "4000")
    assert result.stdout == "0 refreshed: nothing is due yet.\n"


def test_a_late_refresh_is_reported(connected: dict[str, str]) -> None:
    """A run that finds ended tokens says how many, and for how long they had ended."""
    with time_machine.travel(timedelta(minutes=70), tick=True):
        result = run(connected, "refresh")
    assert "do not keep up: 1 access token had expired" in result.stderr
    assert "1 refreshed, 0 failed" in result.stdout


def test_a_refresh_names_a_clock_that_is_wrong(connected: dict[str, str]) -> None:
    """A run that succeeds compares the provider's clock with ours, and says how they differ."""
    late = (
        "import sys, time_machine; from datetime import datetime, timedelta; from connector.cli import main\n"
        "with time_machine.travel(datetime.now().astimezone() + timedelta(minutes=50)): main()"
    )
    ran = run_alone(connected, "refresh", command=(sys.executable, "-c", late))
    assert "1 refreshed, 0 failed" in ran.stdout
    assert "this machine's clock is" in ran.stderr
    assert "s ahead of the provider's" in ran.stderr


@pytest.mark.skipif(os.name != "posix", reason="the limit is POSIX's")
def test_a_refresh_with_few_files_makes_fewer_calls_at_a_time(connected: dict[str, str]) -> None:
    """Under `ulimit -n 64` a run makes fewer calls at a time than the option says, and reports that."""
    command = f"ulimit -n 64; exec {sys.executable} -m connector refresh --at-once 64 --json"
    ran = run_alone(connected, command=("sh", "-c", command))
    summary = json.loads(ran.stdout)
    assert 1 <= summary["at_once"] < 20
    assert f"Only {summary['at_once']} token calls at a time" in ran.stderr


def test_keys_new_is_a_key(env: dict[str, str]) -> None:
    """The printed key can be the value of ORMCO_STORE_KEYS."""
    assert len(base64.b64decode(run(env, "keys", "new").stdout)) == 32


def test_keys_rotate_seals_with_the_first_key(connected: dict[str, str]) -> None:
    """After a rotation the new key alone opens the store."""
    new = run(connected, "keys", "new").stdout.strip()
    appended = {**connected, "ORMCO_STORE_KEYS": f"{KEY},{new}"}
    assert run(appended, "token", "practice-42").exit_code == 0
    both = {**connected, "ORMCO_STORE_KEYS": f"{new},{KEY}"}
    assert printed(both, "keys", "rotate")["resealed"] > 0
    assert run({**connected, "ORMCO_STORE_KEYS": new}, "token", "practice-42").exit_code == 0
    assert run(connected, "token", "practice-42").exit_code == 9


def test_audit_lists_each_step(connected: dict[str, str]) -> None:
    """Each step is listed in order, with its actor and its outcome."""
    events = printed(connected, "audit", "practice-42")["events"]
    assert [(event["kind"], event["outcome"]) for event in events] == [("begin", "ok"), ("complete", "ok")]
    assert all(event["actor"] for event in events)
    assert run(connected, "audit").stdout.count("practice-42") == 2


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (["--last", "1"], ["complete"]),
        (["--last", "5000"], ["begin", "complete"]),
        (["--since", "1h"], ["begin", "complete"]),
        (["--after", "1"], ["complete"]),
        (["--since", "1h", "--last", "1"], ["complete"]),
    ],
)
def test_audit_ends_with_the_newest(connected: dict[str, str], options: list[str], kinds: list[str]) -> None:
    """For any number of entries, the newest one is printed, and is the last."""
    assert [event["kind"] for event in printed(connected, "audit", *options)["events"]] == kinds


def test_audit_since_later_is_empty(connected: dict[str, str]) -> None:
    """Events before the requested time are not shown."""
    with time_machine.travel(timedelta(hours=2), tick=True):
        assert printed(connected, "audit", "--since", "1h")["events"] == []


def test_audit_prune_deletes_old_entries(connected: dict[str, str]) -> None:
    """Old entries go, and one says that they went; without a person it needs --yes."""
    assert run(connected, "audit", "prune", "--before", "0h").exit_code == 2
    assert printed(connected, "audit", "prune", "--before", "0h", "--yes")["deleted"] == 2
    (event,) = printed(connected, "audit")["events"]
    assert (event["kind"], event["outcome"], event["detail"]["deleted"]) == ("audit", "pruned", "2")


def test_status_summary_is_for_a_monitor(connected: dict[str, str], classic: RunningSandbox) -> None:
    """How many connections are in each state, and how late refreshes are."""
    summary = printed(connected, "status", "--summary")
    assert (summary["connections"], summary["states"]) == (1, {"connected": 1})
    assert (summary["needs_attention"], summary["overdue"], summary["lag"]) == (0, 0, 0)
    assert "1 connection: 1 connected." in run(connected, "status", "--summary").stdout


def test_store_copy_moves_everything(connected: dict[str, str], tmp_path: Path) -> None:
    """The copy can be used in place of the store, and the source is not changed."""
    target = f"sqlite:///{tmp_path}/copies/copy.db"
    report = printed(connected, "store", "copy", connected["ORMCO_STORE"], target)
    assert report["rows"]["ormco_connections"] == 1
    assert run({**connected, "ORMCO_STORE": target}, "token", "practice-42").exit_code == 0
    assert printed(connected, "store", "copy", connected["ORMCO_STORE"], target)["deleted"] == 0


def test_store_copy_takes_no_password_as_an_argument(connected: dict[str, str]) -> None:
    """Other users of the machine can read the arguments of a command."""
    result = run(connected, "store", "copy", connected["ORMCO_STORE"], "postgresql://me:hunter2@db/ormco")
    assert result.exit_code == 10
    assert "TO contains a password" in result.stderr
    assert "hunter2" not in result.output


def test_store_upgrade_prints_the_version(connected: dict[str, str]) -> None:
    """Ahead of a deploy the schema is brought up to date by hand."""
    assert printed(connected, "store", "upgrade")["schema_version"] >= 5


@pytest.mark.parametrize(
    ("mode", "change", "says"),
    [
        ("--paste", {"ORMCO_CLIENT_SECRET": "wrong"}, "ORMCO_CLIENT_SECRET"),
        ("--browser", {"DISPLAY": "", "WAYLAND_DISPLAY": ""}, "there is no display for a browser window"),
        ("--headless", {"ORMCO_BROWSER": "/nowhere"}, "there is no program at '/nowhere'"),
        ("--headless", {"ORMCO_3SHAPE_USERNAME": ""}, "ORMCO_3SHAPE_USERNAME"),
    ],
    ids=["secret", "display", "browser", "credentials"],
)
def test_failures_are_found_before_consent(
    env: dict[str, str], classic: RunningSandbox, mode: str, change: dict[str, str], says: str
) -> None:
    """No useless consent is requested: no link is shown and no request stays open."""
    signing_in = {"ORMCO_3SHAPE_USERNAME": "front.desk@maple-ortho.test", "ORMCO_3SHAPE_PASSWORD": "x"}
    result = run({**env, **signing_in, **change}, "connect", "practice-42", mode)
    assert result.exit_code == 10
    assert says in result.stderr
    assert "http" not in result.stdout
    assert "authorize" not in classic.counters()
    assert "No link is open" in run(env, "complete", "practice-42", stdin="x").stderr
