"""How a watch on cases goes about it, and what it did in the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from connector.communicate.case_list import check_time
from connector.errors import SettingError

__all__ = ["WatchPlan", "WatchReport"]

_LONGEST_DAYS = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """How a watch goes about it.

    Attributes:
        name: each watch of its own name has its own cursors, and gets every event.
        since: where to begin with practices that it never saw; None: now.
        all_cases: also cases without Ormco's lab among their actors.
        region: where the cases are, if that cannot be found out.
        interval: seconds between two looks at a practice.
        workers: how many practices are looked at at the same time.
        once: end when every practice has been looked at.
        overlap: seconds before the last look that are asked for again. An update may show up in the
            provider's list long after it was made; what was delivered is recognised.
        keep_days: after so many days without an event a case is forgotten; its next event is told then as
            that of a case never seen.

    Raises:
        connector.errors.SettingError: a number is out of its range.
    """

    name: str = "default"
    since: datetime | None = None
    all_cases: bool = False
    region: str | None = None
    interval: float = 30.0
    workers: int = 8
    once: bool = False
    overlap: float = 86400.0
    keep_days: float = 400.0

    def __post_init__(self) -> None:
        """Refuse numbers with which a watch would never look, or would lose events."""
        allowed = {
            "interval": (0.001, 86400.0),
            "workers": (1, 256),
            "overlap": (0.0, _LONGEST_DAYS * 86400.0),
            "keep_days": (1.0, _LONGEST_DAYS),
        }
        for name, (least, most) in allowed.items():
            if not least <= getattr(self, name) <= most:
                raise SettingError(
                    f"the {name} of a watch is {getattr(self, name)}",
                    hint=f"It can be from {least} to {most}.",
                )
        if not self.name.isprintable() or not 0 < len(self.name) <= 200:
            raise SettingError("a watch has a name of printable characters", hint="At most 200 of them.")

    def begun_by(self, now: datetime) -> WatchPlan:
        """Return the plan with its beginning checked: a watch that begins in the future delivers nothing.

        Raises:
            connector.errors.SettingError: it begins in the future, or before there were cases.
        """
        return replace(self, since=check_time(self.since, now, "the time to begin at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReport:
    """What a watch did before it ended.

    Attributes:
        delivered: events that the handler took.
        problems: practice → what was wrong with it in the end.
        looks: looks at a practice that ended well.
        interval: seconds that really lay between two looks at a practice, in the last round.
    """

    delivered: int = 0
    looks: int = 0
    problems: dict[str, Exception] = field(default_factory=dict)
    interval: float = 0.0
