"""A checklist on stderr: a line for each step as it is done."""

from __future__ import annotations

import click

from connector.cli.output import say

__all__ = ["Checklist"]

_PASTED = "The input was read"
_STEPS = {
    "settings": "The settings are complete",
    "store": "The store is writable, and its key is right",
    "provider": "The provider answers",
    "consent": "Access was allowed; the answer was captured before it left the browser",
    "code": "The answer belongs to this request, and its code shows no damage",
    "tokens": "The code was exchanged; the tokens are stored, sealed",
    "account": "The account behind the tokens is known",
}


class Checklist:
    """Prints what is done and what is waited for; call it with the name of a step.

    Args:
        waiting: what to say once the provider has answered and it is the browser's turn; "" for a paste.
    """

    def __init__(self, waiting: str) -> None:
        self._waiting = waiting

    def __call__(self, step: str) -> None:
        """Tick a step off; what a diagnosis has found is told as it is."""
        if step.startswith("found: "):
            say(f"{click.style('→', fg='cyan')} Found: {step.removeprefix('found: ')}")
            return
        text = _PASTED if step == "consent" and not self._waiting else _STEPS.get(step, step)
        say(f"{click.style('✓', fg='green')} {text}")
        if step == "provider" and self._waiting:
            say(f"{click.style('…', fg='yellow')} {self._waiting}")
