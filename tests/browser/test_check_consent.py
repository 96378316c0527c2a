"""`ormco check-consent`, in a real browser against the sandbox."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.support.commands import payload
from tests.support.commands import run as ormco
from tests.support.sandbox import RunningSandbox

Check = Callable[..., Result]
STEPS = ["provider", "page", "sign_in", "words", "allow", "redirect", "code"]


@pytest.fixture
def check(browser: str, one_browser: None) -> Check:
    """Run the command with the settings of a sandbox, without a client secret."""

    def run(sandbox: RunningSandbox, *options: str, **environment: str) -> Result:
        settings = {
            "ORMCO_PROVIDER": sandbox.provider_file,
            "ORMCO_CLIENT_ID": sandbox.client_id,
            "ORMCO_3SHAPE_USERNAME": sandbox.practice.username,
            "ORMCO_3SHAPE_PASSWORD": sandbox.practice.password,
            "ORMCO_BROWSER": browser,
        }
        return ormco(settings | environment, "check-consent", *options)

    return run


def test_every_step_succeeds(check: Check, identity: RunningSandbox) -> None:
    """Each step is ok, nothing is missing, the status is 0; the code was not exchanged."""
    result = check(identity, "--json")
    assert result.exit_code == 0, result.output
    found = payload(result)
    assert found["result"] == "ok"
    assert [step["name"] for step in found["steps"] if step["result"] == "ok"] == STEPS
    assert found["missing"] == found["screenshots"] == []
    assert "error" not in found
    assert found["duration_seconds"] >= sum(step["seconds"] for step in found["steps"]) - 0.01
    assert "token:authorization_code" not in identity.counters()


def test_each_step_is_a_line_of_text(check: Check, classic: RunningSandbox) -> None:
    """Without --json each step is a line."""
    result = check(classic)
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == len(STEPS)
    assert "✓ The Authorize page has the words and buttons of the guide" in result.stdout


def test_a_page_with_a_difference(check: Check, classic: RunningSandbox) -> None:
    """A flow that works on a changed page has status 10, not the status of an unchanged one."""
    classic.set_scenarios("no-cancel")
    result = check(classic, "--json")
    found = payload(result)
    assert result.exit_code == 10
    assert found["result"] == "changed"
    assert found["missing"] == ['button "Cancel"']
    assert [step["result"] for step in found["steps"]] == ["ok"] * 3 + ["changed"] + ["ok"] * 3
    assert found["error"]["kind"] == "page_changed"


def test_a_page_with_other_words(check: Check, classic: RunningSandbox, tmp_path: Path) -> None:
    """If the flow cannot continue, the check names missing and present elements, with a screenshot."""
    classic.set_scenarios("page-changed")
    result = check(classic, "--json", "--screenshots", str(tmp_path / "shots"))
    found = payload(result)
    assert result.exit_code == 10
    assert found["result"] == "changed"
    assert found["missing"][:2] == ['button "Allow access"', 'button "Cancel"']
    assert 'button "Agree and continue"' in found["instead"]
    assert found["steps"][-1]["name"] == "words"
    assert [Path(path).name for path in found["screenshots"]] == ["sign-in.png", "end.png"]
    assert 'Error: the Authorize page has no button "Allow access"' in result.stderr


@pytest.mark.parametrize(
    ("scenario", "status", "kind", "last"),
    [("deny", 4, "consent_denied", "code"), ("outage", 5, "provider_unavailable", "page")],
)
def test_failures(
    check: Check, classic: RunningSandbox, scenario: str, status: int, kind: str, last: str
) -> None:
    """A failure has the status and the kind of its error, and the step that failed."""
    classic.set_scenarios(scenario)
    result = check(classic, "--json")
    found = payload(result)
    assert (result.exit_code, found["result"], found["error"]["kind"]) == (status, "failed", kind)
    assert (found["steps"][-1]["name"], found["steps"][-1]["result"]) == (last, "failed")


def test_a_wrong_password(check: Check, classic: RunningSandbox) -> None:
    """A refused sign-in is a setting to correct, and the password is nowhere in the output."""
    result = check(classic, "--json", ORMCO_3SHAPE_PASSWORD="made-up-wrong-password")
    found = payload(result)
    assert (result.exit_code, found["error"]["kind"]) == (10, "setting")
    assert found["steps"][-1] == {**found["steps"][-1], "name": "sign_in", "result": "failed"}
    assert "made-up-wrong-password" not in result.output


def test_screenshots(check: Check, classic: RunningSandbox, tmp_path: Path) -> None:
    """Screenshots replace those of the last check, and only their owner can read them."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    folder = tmp_path / "shots"
    folder.mkdir()
    (folder / "authorize.png").symlink_to(elsewhere)
    found = payload(check(classic, "--json", "--screenshots", str(folder)))
    paths = [Path(path) for path in found["screenshots"]]
    assert paths == [folder / "sign-in.png", folder / "authorize.png"] == sorted(folder.iterdir())[::-1]
    assert elsewhere.read_text() == "untouched"
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert sys.platform == "win32" or path.lstat().st_mode & 0o777 == 0o600


def test_everything_that_is_missing_is_named(check: Check, classic: RunningSandbox) -> None:
    """Settings that are not set are named all at once, before a browser starts; no secret is among them."""
    nothing = {"ORMCO_CLIENT_ID": "", "ORMCO_3SHAPE_USERNAME": "", "ORMCO_3SHAPE_PASSWORD": ""}
    result = check(classic, "--json", ORMCO_BROWSER="/no/browser", **nothing)
    message = payload(result)["error"]["message"]
    assert result.exit_code == 10
    assert "ORMCO_CLIENT_ID, ORMCO_3SHAPE_USERNAME, ORMCO_3SHAPE_PASSWORD" in message
    assert "SECRET" not in message


def test_a_folder_that_cannot_be_written(check: Check, classic: RunningSandbox, tmp_path: Path) -> None:
    """A folder in which no screenshot can be saved is a setting to correct."""
    (tmp_path / "file").write_text("")
    result = check(classic, "--json", "--screenshots", str(tmp_path / "file" / "shots"))
    assert (result.exit_code, payload(result)["error"]["kind"]) == (10, "setting")
    assert "cannot be saved" in result.stderr
