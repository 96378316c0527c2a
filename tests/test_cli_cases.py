"""`ormco cases`: as people and programs use it, killed and started again, without patient data."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connector.cli import ormco
from tests.support.cases import Workflow, connected, settings
from tests.support.commands import COMMAND
from tests.support.sandbox import RunningSandbox
from tests.support.small_disk import on_a_small_disk

WORKFLOW = ("receive", "accept", "request-approval", "reject", "resend", "approve")
HEALTH_DATA = ("Zaphod", "Quux", "EXT-00001", "REF-00001", "30001_1602", "1417500001", "Alex Maple")
ATTACHMENT = "Zaphod-Quux-upper.bin"


@pytest.fixture(autouse=True)
def _maple(classic: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of every command, with maple connected."""
    with connected(classic, tmp_path, maple=classic.practice):
        pass
    for name, value in settings(classic, tmp_path).items():
        monkeypatch.setenv(name, value)


def run(*args: Any) -> Any:
    return CliRunner().invoke(ormco, ["cases", *args])


def objects(result: Any) -> Any:
    return [json.loads(line) for line in result.stdout.splitlines()]


def send_named(workflow: Workflow) -> Any:
    """A case whose every field with health data can be recognised."""
    body = {"patient": ["Zaphod", "Quux"], "attachments": [{"name": ATTACHMENT, "size": 100}]}
    (case_id,) = workflow.send(**body)
    return case_id


def test_list_has_the_next_actor(workflow: Workflow) -> None:
    """The table has label, next actor and age; a new design after a rejection waits for the clinic."""
    sent, rejected, resent = workflow.send(count=3)
    workflow.act(rejected, *WORKFLOW[:4])
    workflow.act(resent, *WORKFLOW[:5])
    rows = {row.split("\t")[0]: row.split("\t")[1:3] for row in run("list", "maple").stdout.splitlines()}
    assert rows == {
        sent: ["Scanned sent", "lab"],
        rejected: ["Designed rejected", "lab"],
        resent: ["Designed rejected", "clinic"],
    }
    (only,) = objects(run("list", "maple", "--waits-for", "clinic", "--json"))
    assert (only["version"], [case["case"] for case in only["cases"]]) == (1, [resent])
    assert list(only) == ["version", "practice", "cases"]


def test_list_by_time_and_number(workflow: Workflow) -> None:
    """--since, --until and --limit narrow the list; an invalid time is a usage error."""
    workflow.send(count=12)
    assert len(objects(run("list", "maple", "--limit", "5", "--json"))[0]["cases"]) == 5
    assert len(objects(run("list", "maple", "--since", "1h", "--json"))[0]["cases"]) == 12
    assert objects(run("list", "maple", "--until", "2020-01-01", "--json"))[0]["cases"] == []
    assert run("list", "maple", "--since", "lately").exit_code == 2
    assert run("list", "maple", "--until", "9999-12-31T23:59:59-14:00").exit_code == 2
    assert len(objects(run("list", "maple", "--limit", str(10**30), "--json"))[0]["cases"]) == 12


def test_show_has_each_step_and_its_actor(workflow: Workflow) -> None:
    """The timeline has every step with its side, and the next steps of each side."""
    (case_id,) = workflow.send()
    workflow.act(case_id, *WORKFLOW)
    text = run("show", "maple", case_id).stdout
    assert 'clinic\tDesigned rejected\tpresses "Reject" in TRIOS' in text
    assert "lab\tDesigned rejected\tredesigns and sends it" in text
    assert "Next: lab" in text
    (shown,) = objects(run("show", "maple", case_id, "--json"))
    actors = " ".join(event["actor"] for event in shown["history"])
    assert actors == "clinic lab lab lab clinic lab clinic"
    assert shown["standing"] == "approved"


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("show", "maple", "17"), 6, "does not know that id"),
        (("list", "nobody"), 6, "no connection is stored"),
        (("list", "maple", "--region", "mars"), 10, "no region 'mars'"),
        (("list", "maple", "--since", "2999-01-01"), 2, "in the future"),
        (("watch", "maple", "--since", "2999-01-01"), 2, "in the future"),
        (("watch", "maple", "--since", "0001-01-01"), 2, "before 1900"),
        (("watch", "maple", "nobody", "--once"), 6, "no connection is stored for nobody"),
        (("watch", "nobody", "--once"), 6, "Connect it: ormco connect nobody"),
        (("watch",), 2, "Name the practices, or give --all"),
        (("watch", "maple", "--all"), 2, "Name the practices, or give --all"),
    ],
)
def test_errors_have_a_message_and_a_status(args: Any, status: int, words: str) -> None:
    """A failed command ends with the documented status, a fact and a hint."""
    result = run(*args)
    assert (result.exit_code, words in result.stderr) == (status, True)


def test_case_of_another_lab_is_read_on_request_only(workflow: Workflow) -> None:
    """A case that is not shared with Ormco's lab is read only with --all-cases."""
    (case_id,) = workflow.send(lab="hello@harbour-lab.test")
    assert "--all-cases" in run("list", "maple").stdout
    assert run("show", "maple", case_id).exit_code == 6
    assert run("show", "maple", case_id, "--all-cases").exit_code == 0
    assert case_id in run("list", "maple", "--all-cases").stdout


def test_wrong_region_is_never_read_silently(classic: RunningSandbox, workflow: Workflow) -> None:
    """While servers contradict the account's region, an empty result is an error that names both."""
    classic.set_scenarios("other-servers")
    result = run("list", "maple")
    assert (result.exit_code, "its servers are those of" in result.stderr) == (10, True)
    assert run("list", "maple", "--region", "americas").exit_code == 0
    workflow.send()
    assert len(run("list", "maple").stdout.splitlines()) == 1


def test_watch_prints_one_object_per_line(workflow: Workflow) -> None:
    """Each event is a JSON object with a version, an id and the kind of event."""
    (case_id,) = workflow.send()
    workflow.act(case_id, "receive")
    lines = objects(run("watch", "maple", "--once", "--since", "1d", "--json"))
    assert [next(iter(line.items())) for line in lines] == [("version", 1)] * 2
    assert [line["id"] for line in lines] == [f"{case_id}:1", f"{case_id}:2"]
    received = [lines[1][key] for key in ("event", "actor", "label")]
    assert received == ["case_received", "lab", "Scanned received"]


def test_nothing_of_a_patient_is_shown_stored_or_logged(
    workflow: Workflow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Health data is in no output that did not ask for it, in no log, and nowhere in the store."""
    caplog.set_level(logging.DEBUG)
    case_id = send_named(workflow)
    workflow.act(case_id, "receive", "comment")
    output = ""
    for as_json in ((), ("--json",)):
        for args in (
            ("list", "maple"),
            ("show", "maple", case_id),
            ("watch", "maple", "--once", "--since", "1d", "--name", str(as_json)),
            ("download", "maple", case_id, "--to", str(tmp_path / "out")),
        ):
            result = run(*args, *as_json)
            assert result.exit_code == 0, result.stderr
            output += result.stdout + result.stderr
    output += caplog.text + everything_stored(tmp_path / "connections.db")
    assert [word for word in (*HEALTH_DATA, ATTACHMENT, "Comment 1") if word in output] == []
    asked = run("show", "maple", case_id, "--show-patient").stdout
    assert [word for word in (*HEALTH_DATA, ATTACHMENT, "Comment 1") if word not in asked] == []


def everything_stored(path: Path) -> Any:
    with sqlite3.connect(path) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        text = "".join(str(db.execute(f"SELECT * FROM {table}").fetchall()) for table in tables)
    db.close()
    return text + path.read_bytes().decode("latin-1")


def test_download_reports_each_file(workflow: Workflow, tmp_path: Path) -> None:
    """Every file is accounted for; one that could not be fetched decides the exit status."""
    case_id = send_named(workflow)
    workflow.act(case_id, "receive", "accept", "design")
    result = run("download", "maple", case_id, "--to", str(tmp_path / "out"), "--json")
    (done,) = objects(result)
    assert result.exit_code == 6
    assert [file["verified"] for file in done["files"]] == [True, True, False, True, True, True]
    assert "lab:americas" in done["files"][2]["error"]["hint"]
    assert [file["path"] is None for file in done["files"]] == [False, False, True, True, True, True]
    named = run("download", "maple", case_id, "--to", str(tmp_path / "out"), "--json", "--show-patient")
    assert objects(named)[0]["files"][-1]["path"] == str(tmp_path / "out" / ATTACHMENT)
    assert run("download", "maple", case_id, "--to", str(tmp_path / "x"), "--only", "scan").exit_code == 0


class Watcher:
    """`ormco cases watch` as a process of its own, whose lines are collected until it ends."""

    def __init__(self, lines: Any) -> None:
        command = [*COMMAND, "cases", "watch", "--all", "--json", "--interval", "1"]
        self.process = subprocess.Popen(
            [*command, "--since", "1d"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._reader = threading.Thread(target=lambda: lines.extend(self.process.stdout))
        self._reader.start()

    def end(self, number: int) -> Any:
        self.process.send_signal(number)
        self.process.wait(60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.returncode


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_and_started_again_misses_nothing(workflow: Workflow) -> None:
    """While the watch is killed at random, every event arrives, in order per case."""
    lines: list[Any] = []
    chance, pause = random.Random(7), threading.Event()
    cases = workflow.send(count=4)
    steps = [(case_id, action) for action in WORKFLOW for case_id in cases]
    for _ in range(3):
        watcher = Watcher(lines)
        for case_id, action in steps[:6]:
            workflow.act(case_id, action)
            pause.wait(chance.random() / 4)
        del steps[:6]
        pause.wait(chance.random() * 2)
        watcher.end(signal.SIGKILL)
    for case_id, action in steps:
        workflow.act(case_id, action)
    watcher = Watcher(lines)
    for _ in range(600):
        seen = versions_by_case(lines)
        if sum(len(set(versions)) for versions in seen.values()) == 7 * 4:
            break
        pause.wait(0.1)
    assert watcher.end(signal.SIGINT) == 130
    for versions in versions_by_case(lines).values():
        assert list(dict.fromkeys(versions)) == list(range(1, 8))
        # At most the events that were in progress at a kill are repeated.
        assert len(versions) <= 7 + 3


def versions_by_case(lines: Any) -> Any:
    found = defaultdict(list)
    for line in list(lines):
        try:
            event = json.loads(line)
        except ValueError:  # cut by the kill; the event is printed again
            continue
        if "case" in event:
            found[event["case"]].append(event["case_version"])
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end in another way")
def test_reader_that_goes_away_loses_nothing(workflow: Workflow) -> None:
    """When the reader of the stream ends, the watch ends too, and events that were not read come again."""
    workflow.send(count=3)
    command = [*COMMAND, "cases", "watch", "maple", "--since", "1d"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (0, b"")
    process.stderr.close()
    assert len(objects(run("watch", "maple", "--once", "--json"))) == 3


def test_watch_that_is_reset_starts_again(workflow: Workflow) -> None:
    """--reset deletes the position of the watch of this name; other watches continue."""
    workflow.send()
    watch = ("watch", "maple", "--once", "--since", "1d", "--json")
    assert [len(objects(run(*watch))) for _ in range(2)] == [1, 0]
    assert len(objects(run(*watch, "--reset"))) == 1
    assert len(objects(run(*watch, "--name", "other"))) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_output_is_one_error(workflow: Workflow) -> None:
    """A stream that cannot be written ends the watch with one error; events that were not read come again."""
    workflow.send(count=2)
    command = [*COMMAND, "cases", "watch", "maple", "--since", "1d", "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("Error:"), "Traceback" in done.stderr) == (1, 1, False)
    assert len(objects(run("watch", "maple", "--once", "--json"))) == 2


def test_full_disk_does_not_hide_the_files_that_were_saved(workflow: Workflow, tmp_path: Path) -> None:
    """The result has each file that was saved, and the reason for each that was not."""
    attachments = [{"name": "small.bin", "size": 1000}, {"name": "large.bin", "size": 60_000}]
    (case_id,) = workflow.send(attachments=attachments)
    command = ["cases", "download", "maple", case_id, "--only", "attachment", "--to", str(tmp_path / "small")]
    done = on_a_small_disk(tmp_path / "small", "32k", ["-m", "connector", *command, "--json"])
    assert done.returncode == 10, done.stderr
    files = json.loads(done.stdout)["files"]
    saved = [file for file in files if file["error"] is None]
    assert 0 < len(saved) < len(files)
    assert {file["error"]["kind"] for file in files if file["error"]} == {"setting"}
    assert all(file["verified"] for file in saved)


def test_watch_names_practices_that_it_cannot_follow(classic: RunningSandbox, workflow: Workflow) -> None:
    """With --all, a practice in trouble is named on stderr, and as an object of its own in the stream."""
    workflow.send()
    classic.set_scenarios("outage")
    result = run("watch", "--all", "--once", "--json")
    assert result.exit_code == 5
    assert "maple" in result.stderr
    (problem,) = objects(result)
    error = problem["error"]
    assert (problem["version"], error["practice"], error["kind"]) == (1, "maple", "provider_unavailable")
    assert run("watch", "maple", "--once").exit_code == 5


def test_progress_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal one line shows a file's progress, and is then removed; elsewhere nothing is printed."""
    from connector.cli.case_format import ProgressLine
    from connector.communicate.models import CaseFile

    file = CaseFile(kind="scan", part="upper", file_type="dcm", name="Zaphod.dcm")
    ProgressLine()(file, 1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    line = ProgressLine()
    line(file, 5_000_000, 20_000_000)
    line.clear()
    shown = capsys.readouterr().err
    assert "scan upper dcm: 5.0 MB of 20.0 MB (25 %)" in shown
    assert "Zaphod" not in shown
    assert "\x1b" not in shown
    monkeypatch.setenv("TERM", "dumb")
    ProgressLine()(file, 1, 2)
    assert capsys.readouterr().err == ""
