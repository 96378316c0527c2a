"""3Shape's own Connections: a practice and a lab that may exchange cases."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from connector.sandbox.accounts import LABS_OF_ORMCO, Account

__all__ = ["LabConnection", "LabConnections"]


@dataclass(slots=True, kw_only=True)
class LabConnection:
    """One row of the Connections page, seen from both sides."""

    id: str
    inviter: Account
    invited: Account
    requested: float = field(default_factory=time.time)
    accepted: bool = False

    def joins(self, account: Account) -> bool:
        """Return whether this account is one of the two sides."""
        return account in (self.inviter, self.invited)

    def partner_of(self, account: Account) -> Account:
        """Return the other side."""
        return self.invited if account is self.inviter else self.inviter


class LabConnections:
    """All connections, and Ormco's labs, which approve by themselves after a while.

    Attributes:
        approval_seconds: how long they take; None: until somebody approves in their name.
        held: whether they do not approve by themselves at all.
    """

    def __init__(self, *, approval_seconds: float | None) -> None:
        self.approval_seconds = approval_seconds
        self.held = False
        self._rows: list[LabConnection] = []

    def of(self, account: Account) -> list[LabConnection]:
        """Return an account's connections, pending ones included, the oldest first."""
        self._approve_what_is_due()
        return [row for row in self._rows if row.joins(account)]

    def get(self, account: Account, connection_id: str) -> LabConnection | None:
        """Return one connection of an account."""
        return next((row for row in self.of(account) if row.id == connection_id), None)

    def between(self, one: Account, other: Account) -> LabConnection | None:
        """Return the connection of two accounts, whoever asked for it."""
        return next((row for row in self.of(one) if row.joins(other)), None)

    def request(self, inviter: Account, invited: Account) -> LabConnection:
        """Ask another account for a connection."""
        row = LabConnection(id=str(uuid.uuid4()), inviter=inviter, invited=invited)
        self._rows.append(row)
        return row

    def remove(self, row: LabConnection) -> None:
        """Reject, withdraw or delete a connection."""
        self._rows.remove(row)

    def _approve_what_is_due(self) -> None:
        if self.held or self.approval_seconds is None:
            return
        due = time.time() - self.approval_seconds
        for row in self._rows:
            if row.invited in LABS_OF_ORMCO.values() and row.requested <= due:
                row.accepted = True
