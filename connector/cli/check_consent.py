"""`ormco check-consent`: the consent flow as a monitor's check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli.options import config_from, settings_options, timeout_option
from connector.cli.output import emit, error_json, mark, report

if TYPE_CHECKING:
    from connector.testing.check import Check

__all__ = ["check_consent"]

_STEPS = {
    "provider": "The provider is known",
    "page": "Its page came up",
    "sign_in": "Signed in",
    "words": "The Authorize page has the words and buttons of the guide",
    "allow": "Allow access was pressed",
    "redirect": "The browser was sent back; the answer was captured",
    "code": "The code is whole; it was not used",
}
_MARKS = {"ok": "ok", "changed": "warning", "failed": "failed"}


@click.command(
    "check-consent",
    epilog="Example: ormco check-consent --json --screenshots /var/tmp/consent",
)
@click.option(
    "--screenshots",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Save screenshots there; what is personal is covered.",
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
    """Go through the consent as a practice does, and say what is not as it should be.

    Signs in with ORMCO_3SHAPE_USERNAME and _PASSWORD, compares the Authorize page with the guide's, allows
    access and looks at the code; the code is not used, so no client secret is needed. Use an account of your
    own. Ends with status 0 only if all is well; with 10 if a page has changed.
    """
    from connector.testing import check

    config = config_from(settings)
    found = check.check_consent(config, screenshots=screenshots, headless=not visible, timeout=timeout)
    emit(_as_json(found), _text(found), as_json=as_json)
    if found.error is not None:
        ctx.exit(report(found.error, as_json=False))


def _as_json(check: Check) -> dict[str, Any]:
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


def _text(check: Check) -> str:
    lines = []
    for step in check.steps:
        lines.append(f"{mark(_MARKS[step.result])} {_STEPS[step.name]} ({step.seconds:.1f} s)")
    lines += [f"  - {what}" for what in check.missing]
    lines += [f"  + {what}" for what in check.instead]
    lines += [f"Screenshot: {path}" for path in check.screenshots]
    return "\n".join(lines)
