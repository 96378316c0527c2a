"""`ormco doctor`: check everything, and say what cures each problem."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from connector.cli.connection_format import add_next_step
from connector.cli.exit_statuses import UNEXPECTED, exit_status
from connector.cli.options import config_from, open_connector, optional_practice, settings_options
from connector.cli.output import emit, mark, say, write

if TYPE_CHECKING:
    from connector.connector import Connector
    from connector.doctor.check import Check

__all__ = ["doctor"]


@click.command(epilog="Example: ormco doctor practice-42")
@optional_practice
@settings_options
def doctor(practice: str | None, as_json: bool, **settings: Any) -> None:
    """Check settings, store, provider and browser, and with PRACTICE its connection.

    It needs no settings. With warnings only, the exit status is 0; otherwise the first failed check decides.
    """
    from connector.doctor import ALL_CHECKS

    checks = []
    with open_connector(config_from(settings)) as connector:
        for check in connector.doctor(practice, only=ALL_CHECKS):
            checks.append(_with_command(connector, check))
            if not as_json:
                write(_text(checks[-1]), folded=True)
    emit({"checks": [_as_json(check) for check in checks]}, "", as_json=as_json)
    say(_summary(checks))
    click.get_current_context().exit(_status(checks))


def _with_command(connector: Connector, check: Check) -> Check:
    """Add the next command to the cure, as after an error."""
    if check.error is None or check.cure != check.error.hint:
        return check
    add_next_step(connector, check.error)
    return replace(check, cure=check.error.hint)


def _as_json(check: Check) -> dict[str, str]:
    return {"name": check.name, "result": check.result.value, "detail": check.detail, "cure": check.cure}


def _text(check: Check) -> str:
    text = f"{mark(check.result.value)} {check.name}: {check.detail}"
    return f"{text}\n{textwrap.indent(check.cure, '    ')}" if check.cure else text


def _summary(checks: list[Check]) -> str:
    counts = Counter(check.result.value for check in checks)
    warnings = "1 warning" if counts["warning"] == 1 else f"{counts['warning']} warnings"
    return f"{len(checks)} checks: {counts['ok']} ok, {warnings}, {counts['failed']} failed."


def _status(checks: list[Check]) -> int:
    for check in checks:
        if check.result.value == "failed":
            return exit_status(check.error) if check.error is not None else UNEXPECTED
    return 0
