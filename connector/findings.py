"""Collect the settings that an operation lacks, and report them all at once."""

from __future__ import annotations

from collections.abc import Callable

from connector.errors import SettingError

__all__ = ["Findings"]


class Findings:
    """The settings that are missing or wrong.

    Args:
        is_sandbox: whether the sandbox is used already; if so, the hint does not suggest it.
    """

    def __init__(self, *, is_sandbox: bool = False) -> None:
        self._is_sandbox = is_sandbox
        self.missing: list[str] = []
        self.faults: list[tuple[str, str]] = []  # what is wrong, and what to do

    def read(self, reader: Callable[[], str | None]) -> str | None:
        """Return the value of a setting; if it cannot be read, note that and return None."""
        try:
            return reader()
        except SettingError as exc:
            self.faults.append((exc.message, exc.hint))
            return None

    def refuse(self) -> None:
        """Raise one error for everything that was noted, if anything was."""
        if self.missing:
            fact = f"not set: {', '.join(self.missing)}"
            hint = "Set what is missing"
            hint += "." if self._is_sandbox else "; to try without, use the provider sandbox."
            self.faults.insert(0, (fact, hint))
        if self.faults:
            facts, hints = zip(*self.faults, strict=True)
            raise SettingError("; ".join(facts), hint=" ".join(dict.fromkeys(hints)))
