"""`ormco doctor` and `check-consent`: check everything, or the consent flow, and report the problems."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli.exit_statuses import UNEXPECTED, exit_status
from connector.cli.options import (
    config_from,
    open_connector,
    optional_practice,
    settings_options,
    timeout_option,
)
from connector.cli.output import emit, error_json, mark, report, say, write
from connector.cli.status import add_next_step

if TYPE_CHECKING:
    from connector.connector import Connector
    from connector.doctor.check import Check
    from connector.testing.check import Check as ConsentCheck

__all__ = ["check_consent", "doctor"]

_CONSENT_STEPS = {
    "provider": "The provider is known",
    "page": "Its page was loaded",
    "sign_in": "Signed in",
    "words": "The Authorize page has the words and buttons of the guide",
    "allow": "Allow access was pressed",
    "redirect": "The browser was redirected; the response was captured",
    "code": "The code is complete; it was not used",
}
_MARKS = {"ok": "ok", "changed": "warning", "failed": "failed"}


@click.command(epilog="Example: ormco doctor practice-42")
@optional_practice
@settings_options
def doctor(practice: str | None, as_json: bool, **settings: Any) -> None:
    """Check settings, store, provider and browser, and with PRACTICE its connection.

    It needs no settings. The first failed check decides the exit status; with warnings only, it is 0.
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
    """Add the next command to the cure, as to an error's hint."""
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


@click.command("check-consent", epilog="Example: ormco check-consent --json --screenshots /var/tmp/consent")
@click.option(
    "--screenshots",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Save screenshots there; personal data is covered.",
)
@click.option(
    "--browser/--headless", "visible", default=False, help="With a window, or without (the default)."
)
@timeout_option
@settings_options
@click.pass_context
def check_consent(
    ctx: click.Context,
    /,
    screenshots: Path | None,
    visible: bool,
    timeout: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Go through the consent flow as a practice does, and report changes.

    Signs in with ORMCO_3SHAPE_USERNAME and _PASSWORD, compares the Authorize page with the guide's, allows
    access and checks the code. The code is not used, so no client secret is needed. Use an account of your
    own. Ends with status 0 only if all steps succeed; with 10 if a page has changed.
    """
    from connector.testing import check

    config = config_from(settings)
    found = check.check_consent(config, screenshots=screenshots, headless=not visible, timeout=timeout)
    emit(_consent_json(found), _consent_text(found), as_json=as_json)
    if found.error is not None:
        ctx.exit(report(found.error, as_json=False))


def _consent_json(check: ConsentCheck) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "result": check.result,
        "provider": check.provider,
        "duration_seconds": check.duration_seconds,
        "steps": [
            {"name": step.name, "result": step.result, "seconds": step.seconds} for step in check.steps
        ],
        "missing": list(check.missing),
        "instead": list(check.instead),
        "screenshots": [str(path) for path in check.screenshots],
    }
    if check.error is not None:
        payload["error"] = error_json(check.error)
    return payload


def _consent_text(check: ConsentCheck) -> str:
    lines = []
    for step in check.steps:
        lines.append(f"{mark(_MARKS[step.result])} {_CONSENT_STEPS[step.name]} ({step.seconds:.1f} s)")
    lines += [f"  - {what}" for what in check.missing]
    lines += [f"  + {what}" for what in check.instead]
    lines += [f"Screenshot: {path}" for path in check.screenshots]
    return "\n".join(lines)
