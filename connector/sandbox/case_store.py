"""The cases of all practices and labs, each with its versions, and the actions of either side."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from connector.sandbox.accounts import Account
from connector.sandbox.case_files import CaseFile, attachments, new_design, new_scans

__all__ = ["ACTIONS", "Action", "CaseStore", "SandboxCase", "Version"]

CLINIC, LAB = "Clinic", "Lab"

_Pair = tuple[str, str | None]
_DESIGNED = frozenset({("Designed", "Sent"), ("Designed", "Approved"), ("Designed", "Rejected")})


@dataclass(frozen=True, slots=True)
class Action:
    """An action that one side can take.

    Attributes:
        role: the side, "Clinic" or "Lab"; None: either.
        button: the words on its button.
        start: the statuses in which it is possible.
        leads: the status after it; None: unchanged.
        designs: whether it adds a new design.
    """

    role: str | None
    button: str
    start: Collection[_Pair]
    leads: _Pair | None
    designs: bool = False


_TO_DESIGN = _DESIGNED - {("Designed", "Rejected")} | {("Scanned", "Approved")}

ACTIONS: Mapping[str, Action] = {
    "receive": Action(LAB, "Refresh TRIOS Inbox", [("Scanned", "Sent")], ("Scanned", "Received")),
    "accept": Action(LAB, "Accept order", [("Scanned", "Received")], ("Scanned", "Approved")),
    "design": Action(LAB, "Send update to Customer", _TO_DESIGN, ("Designed", "Approved"), designs=True),
    "request-approval": Action(
        LAB,
        "Send update to Customer (Request approval)",
        _TO_DESIGN,
        ("Designed", "Sent"),
        designs=True,
    ),
    # A new design after a rejection does not change the status, as in the real portal.
    "resend": Action(LAB, "Send update to Customer", [("Designed", "Rejected")], None, designs=True),
    "reject": Action(CLINIC, "Reject", _DESIGNED, ("Designed", "Rejected")),
    "approve": Action(CLINIC, "Approve", _DESIGNED - {("Designed", "Approved")}, ("Designed", "Approved")),
    "manufacture": Action(LAB, "Manufacture", [("Designed", "Approved")], ("Manufactured", None)),
    "comment": Action(
        None,
        "Add comment",
        _DESIGNED | {("Scanned", flag) for flag in ("Sent", "Received", "Approved")},
        None,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A case as it was after one update."""

    number: int
    at: float
    state: str
    flag: str | None
    did: str
    role: str | None
    files: tuple[CaseFile, ...] = ()
    comments: tuple[str, ...] = ()

    @property
    def status(self) -> _Pair:
        """Its state and flag."""
        return self.state, self.flag

    @property
    def label(self) -> str:
        """The status as the portal shows it."""
        return f"{self.state} {self.flag.lower()}" if self.flag else self.state


@dataclass(slots=True, kw_only=True)
class SandboxCase:
    """An order of a clinic to a lab."""

    id: str
    serial: int
    clinic: Account
    lab: Account
    first_name: str
    last_name: str
    versions: list[Version] = field(default_factory=list)

    @property
    def newest(self) -> Version:
        """The current version."""
        return self.versions[-1]

    @property
    def created(self) -> float:
        """The time at which it was sent."""
        return self.versions[0].at

    def version(self, number: int) -> Version | None:
        """Return one version."""
        return next((version for version in self.versions if version.number == number), None)

    def actions(self, role: str) -> dict[str, Action]:
        """Return the actions that are possible for a side now."""
        possible = (pair for pair in ACTIONS.items() if self.newest.status in pair[1].start)
        return {name: action for name, action in possible if action.role in (role, None)}


class CaseStore:
    """All cases.

    Args:
        late: returns the seconds by which new cases and updates are dated back.

    Attributes:
        count: the number of cases ever sent.
    """

    def __init__(self, late: Callable[[], float]) -> None:
        self.count: int = 0
        self._late = late
        self._cases: dict[str, SandboxCase] = {}
        self._of: dict[str, dict[str, SandboxCase]] = {}

    def send(
        self, clinic: Account, lab: Account, *, patient: tuple[str, str], files: Iterable[CaseFile] = ()
    ) -> SandboxCase:
        """Let a clinic scan an order and send it to a lab."""
        self.count += 1
        case_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox-case-{self.count}"))
        case = SandboxCase(
            id=case_id,
            serial=self.count,
            clinic=clinic,
            lab=lab,
            first_name=patient[0],
            last_name=patient[1],
        )
        own = new_scans(case_id) + attachments(case_id, files)
        self._cases[case_id] = case
        for side in (clinic, lab):
            self._of.setdefault(side.id, {})[case_id] = case
        sent = time.time() - self._late()
        case.versions.append(
            Version(number=1, at=sent, state="Scanned", flag="Sent", did="send", role=CLINIC, files=own)
        )
        return case

    def act(self, case: SandboxCase, name: str, role: str) -> Version:
        """Carry out an action of a side.

        Raises:
            ValueError: it is not possible now.
        """
        action = case.actions(role).get(name)
        if action is None:
            raise ValueError(f"{role} cannot {name} a case that is {case.newest.label}")
        return self.update(
            case, action.leads or case.newest.status, did=name, role=role, designs=action.designs
        )

    def update(
        self,
        case: SandboxCase,
        status: _Pair,
        *,
        did: str,
        role: str | None,
        designs: bool = False,
    ) -> Version:
        """Add a version with any status."""
        old = case.newest
        files = old.files
        if designs:
            others = (file for file in files if file.kind != "Designs")
            files = (*others, new_design(case.id, old.number + 1))
        comments = (*old.comments, f"Comment {len(old.comments) + 1}") if did == "comment" else old.comments
        version = replace(
            old,
            number=old.number + 1,
            # Two updates never have the same time, so that they have an order.
            at=max(time.time() - self._late(), old.at + 0.001),
            state=status[0],
            flag=status[1],
            did=did,
            role=role,
            files=files,
            comments=comments,
        )
        case.versions.append(version)
        return version

    def remove(self, case: SandboxCase) -> None:
        """Delete a case, as if it had never been sent."""
        del self._cases[case.id]
        for side in (case.clinic, case.lab):
            del self._of[side.id][case.id]

    def get(self, case_id: str) -> SandboxCase | None:
        """Return a case."""
        return self._cases.get(case_id.lower())

    def of(self, account: Account) -> list[SandboxCase]:
        """Return the cases that an account is a side of, the last updated first."""
        return sorted(
            self._of.get(account.id, {}).values(),
            key=lambda case: (case.newest.at, case.serial),
            reverse=True,
        )

    def everything(self) -> list[SandboxCase]:
        """Return all cases in the order in which they were sent."""
        return list(self._cases.values())
