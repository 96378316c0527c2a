"""After every error a terminal names the command that comes next; the library's own hints name none."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from connector import Config, errors
from connector.cli.options import open_connector
from connector.errors import ConnectorError
from tests.support.connecting import KEY

PRACTICE = "praxis; 42"
FACTS: dict[type[ConnectorError], dict[str, Any]] = {
    errors.CodeDamagedError: {"length": 3},
    errors.AccountUnconfirmedError: {"account": None},
    errors.GrantRefusedError: {"certain": True},
}
KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ConnectorError) and not kind.__subclasses__()
]


def hint_after(error: ConnectorError, tmp_path: Path, *arguments: str) -> str:
    """The hint with which a command ends that fails with an error."""
    config = Config.from_env({"ORMCO_STORE": f"sqlite:///{tmp_path}/store.db", "ORMCO_STORE_KEYS": KEY})

    @click.group()
    def ormco() -> None:
        pass

    @ormco.command()
    @click.argument("practice", required=False)
    def attempt(practice: str | None) -> None:
        with open_connector(config):
            raise error

    outcome = CliRunner().invoke(ormco, ["attempt", *arguments], prog_name="ormco", standalone_mode=False)
    assert outcome.exception is error
    return error.hint


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_of_a_practice_names_a_command(kind: type[ConnectorError], tmp_path: Path) -> None:
    """It is last, can be pasted, and is for that practice."""
    hint = hint_after(kind("a fact", hint="Do this.", **FACTS.get(kind, {})), tmp_path, PRACTICE)
    assert hint.startswith("Do this. ") or kind is errors.ConnectionNotFoundError
    words, _, command = hint.rpartition("ormco ")
    assert command.endswith("'praxis; 42'") or "'praxis; 42' --" in command, hint
    assert "ormco" not in words or kind is errors.SealingKeyError


@pytest.mark.parametrize("kind", [errors.StoreLockedError, errors.SealingKeyError, errors.SettingError])
def test_error_of_no_practice_names_a_command(kind: type[ConnectorError], tmp_path: Path) -> None:
    """The hint of a command for all practices is another command for all of them."""
    assert hint_after(kind("a fact", hint="Do this"), tmp_path).endswith(": ormco doctor")


def test_practice_of_the_error_counts_too(tmp_path: Path) -> None:
    """A command for many practices ends with the one that failed."""
    error = errors.NeedsRepairError("a fact", practice_id="practice-7")
    assert hint_after(error, tmp_path) == "Repair it: ormco repair practice-7"


def test_hint_with_a_command_of_its_own_stays(tmp_path: Path) -> None:
    """Each connection is shown with one thing to do."""
    hint = "Install it: pip install '.[browser]'"
    assert hint_after(errors.ExtraMissingError("a fact", hint=hint), tmp_path, PRACTICE) == hint
