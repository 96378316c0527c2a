"""The person who uses the support desk, and that person's roles."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from connector.errors import SettingError

__all__ = ["Role", "SupportPerson"]


class Role(StrEnum):
    """A set of actions that a person at the desk may take."""

    VIEW = "view"  # see practices, their states and their history
    MEND = "mend"  # send links, paste responses, repair, request lab connections
    REVOKE = "revoke"  # revoke access; with MEND, reconnect


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportPerson:
    """A person who uses the desk.

    Attributes:
        name: the name in the audit record.
        roles: the actions that the person may take.

    Raises:
        connector.errors.SettingError: the roles are not a collection, or the name is not text.
    """

    name: str
    roles: Collection[Role] = field(default_factory=lambda: frozenset(Role))

    def __post_init__(self) -> None:
        # In a string, `in` would find a role as a part of a word, such as "view" in "preview".
        if isinstance(self.roles, str) or not isinstance(self.roles, Collection) or not _is_name(self.name):
            raise SettingError(
                "a support person needs a name, and a collection of roles",
                hint='Write SupportPerson(name="sam", roles={Role.VIEW}).',
            )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)
