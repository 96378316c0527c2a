"""The sandbox's accounts: made-up practices and labs, the same at every start, and their lab connections."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

__all__ = [
    "ACCOUNTS",
    "LABS_OF_ORMCO",
    "OTHER_PRACTICE",
    "PRACTICE",
    "REGIONS",
    "Account",
    "LabConnection",
    "LabConnections",
    "Region",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A region of the world with its own servers.

    Attributes:
        key: the region's name in a provider file.
        uri: the `RegionUri` of user objects: a name of the region, without a scheme.
    """

    id: str
    key: str
    name: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A Communicate account. Practices sign in to OrmcoDigital with the same name and password."""

    id: str
    email: str
    password: str = field(repr=False)
    name: str
    first_name: str
    last_name: str
    role: str
    address: str
    city: str
    postal_code: str
    country: str
    country_name: str
    phone: str
    region: Region

    @property
    def is_lab(self) -> bool:
        """Whether this is a lab, not a clinic."""
        return self.role == "Lab"


_DATA = json.loads(files("connector.sandbox").joinpath("accounts.json").read_text("utf-8"))
REGIONS = {row["key"]: Region(**row) for row in _DATA["regions"]}
ACCOUNTS = {row["id"]: Account(**row | {"region": REGIONS[row["region"]]}) for row in _DATA["accounts"]}
PRACTICE, OTHER_PRACTICE, *_LABS = ACCOUNTS.values()
LABS_OF_ORMCO = {lab.region.key: lab for lab in _LABS if lab.name.startswith("Ormco")}


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
    """All lab connections; Ormco's labs approve requests automatically after some time.

    Args:
        approval_seconds: returns that time in seconds; None: they approve nothing automatically.
    """

    def __init__(self, approval_seconds: Callable[[], float | None]) -> None:
        self._approval_seconds = approval_seconds
        self._rows: list[LabConnection] = []

    def of(self, account: Account) -> list[LabConnection]:
        """Return an account's connections, pending ones included, the oldest first."""
        seconds = self._approval_seconds()
        due = -math.inf if seconds is None else time.time() - seconds
        for row in self._rows:
            if row.invited in LABS_OF_ORMCO.values() and row.requested <= due:
                row.accepted = True
        return [row for row in self._rows if row.joins(account)]

    def get(self, account: Account, connection_id: str) -> LabConnection | None:
        """Return one connection of an account."""
        return next((row for row in self.of(account) if row.id == connection_id), None)

    def between(self, one: Account, other: Account) -> LabConnection | None:
        """Return the connection of two accounts, whichever of them requested it."""
        return next((row for row in self.of(one) if row.joins(other)), None)

    def request(self, inviter: Account, invited: Account) -> LabConnection:
        """Ask another account for a connection, or return the one that exists."""
        row = self.between(inviter, invited)
        if row is None:
            row = LabConnection(id=str(uuid.uuid4()), inviter=inviter, invited=invited)
            self._rows.append(row)
        return row

    def remove(self, row: LabConnection) -> None:
        """Reject, withdraw or delete a connection."""
        self._rows.remove(row)
