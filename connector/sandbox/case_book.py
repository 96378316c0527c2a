"""The cases of all practices and labs, each with its versions, and what either side can do to one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from connector.sandbox.accounts import Account
from connector.sandbox.case_files import CaseFile, first_attachments, new_design, new_scans

__all__ = ["ACTIONS", "Action", "CaseBook", "SandboxCase", "Version"]

CLINIC, LAB = "Clinic", "Lab"

_Pair = tuple[str, str | None]
_DESIGNED = frozenset({("Designed", "Sent"), ("Designed", "Approved"), ("Designed", "Rejected")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that one side can do.

    Attributes:
        role: whose it is; None: either side's.
        button: what they press.
        start: the statuses in which they can.
        leads: the status it leads to; None: it stays.
        designs: whether a new design comes with it.
    """

    role: str | None
    button: str
    start: frozenset[_Pair]
    leads: _Pair | None
    designs: bool = False


ACTIONS: Mapping[str, Action] = {
    "receive": Action(
        role=LAB,
        button="Refresh TRIOS Inbox",
        start=frozenset({("Scanned", "Sent")}),
        leads=("Scanned", "Received"),
    ),
    "accept": Action(
        role=LAB,
        button="Accept order",
        start=frozenset({("Scanned", "Received")}),
        leads=("Scanned", "Approved"),
    ),
    "design": Action(
        role=LAB,
        button="Send update to Customer",
        start=_DESIGNED - {("Designed", "Rejected")} | {("Scanned", "Approved")},
        leads=("Designed", "Approved"),
        designs=True,
    ),
    "request-approval": Action(
        role=LAB,
        button="Send update to Customer (Request approval)",
        start=_DESIGNED - {("Designed", "Rejected")} | {("Scanned", "Approved")},
        leads=("Designed", "Sent"),
        designs=True,
    ),
    # After a rejection the new design leaves the status as it is: that is how the real one behaves.
    "resend": Action(
        role=LAB,
        button="Send update to Customer",
        start=frozenset({("Designed", "Rejected")}),
        leads=None,
        designs=True,
    ),
    "reject": Action(role=CLINIC, button="Reject", start=_DESIGNED, leads=("Designed", "Rejected")),
    "approve": Action(
        role=CLINIC,
        button="Approve",
        start=frozenset({("Designed", "Sent"), ("Designed", "Rejected")}),
        leads=("Designed", "Approved"),
    ),
    "manufacture": Action(
        role=LAB,
        button="Manufacture",
        start=frozenset({("Designed", "Approved")}),
        leads=("Manufactured", None),
    ),
    "comment": Action(
        role=None,
        button="Add comment",
        start=_DESIGNED | {("Scanned", flag) for flag in ("Sent", "Received", "Approved")},
        leads=None,
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
    def label(self) -> str:
        """What the portal shows."""
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
        """The present version."""
        return self.versions[-1]

    @property
    def created(self) -> float:
        """When it was sent."""
        return self.versions[0].at

    def version(self, number: int) -> Version | None:
        """Return one version."""
        return next((version for version in self.versions if version.number == number), None)

    def actions(self, role: str) -> dict[str, Action]:
        """Return what a side can do now."""
        pair = (self.newest.state, self.newest.flag)
        return {
            name: action
            for name, action in ACTIONS.items()
            if action.role in (role, None) and pair in action.start
        }


class CaseBook:
    """All cases."""

    def __init__(self) -> None:
        self._cases: dict[str, SandboxCase] = {}
        self._of: dict[str, dict[str, SandboxCase]] = {}
        self._serial = 0

    def send(
        self, clinic: Account, lab: Account, *, patient: tuple[str, str], files: Iterable[CaseFile] = ()
    ) -> SandboxCase:
        """Let a clinic scan an order and send it to a lab."""
        self._serial += 1
        case_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox-case-{self._serial}"))
        case = SandboxCase(
            id=case_id,
            serial=self._serial,
            clinic=clinic,
            lab=lab,
            first_name=patient[0],
            last_name=patient[1],
        )
        own = new_scans(case_id) + first_attachments(case_id) + tuple(files)
        self._cases[case_id] = case
        for side in (clinic, lab):
            self._of.setdefault(side.id, {})[case_id] = case
        first = Version(
            number=1, at=time.time(), state="Scanned", flag="Sent", did="send", role=CLINIC, files=own
        )
        case.versions.append(first)
        return case

    def act(self, case: SandboxCase, name: str, role: str) -> Version:
        """Let a side do something.

        Raises:
            ValueError: if it cannot do that now.
        """
        action = case.actions(role).get(name)
        if action is None:
            raise ValueError(f"{role} cannot {name} a case that is {case.newest.label}")
        state, flag = action.leads or (case.newest.state, case.newest.flag)
        return self.update(case, state, flag, did=name, role=role, designs=action.designs)

    def update(
        self,
        case: SandboxCase,
        state: str,
        flag: str | None,
        *,
        did: str,
        role: str | None,
        designs: bool = False,
    ) -> Version:
        """Add a version under whatever status."""
        old = case.newest
        files = old.files
        if designs:
            files = tuple(file for file in files if file.kind != "Designs") + new_design(case.id)
        comments = (*old.comments, f"Comment {len(old.comments) + 1}") if did == "comment" else old.comments
        version = replace(
            old,
            number=old.number + 1,
            # Two updates never have the same time, so that they have an order.
            at=max(time.time(), old.at + 0.001),
            state=state,
            flag=flag,
            did=did,
            role=role,
            files=files,
            comments=comments,
        )
        case.versions.append(version)
        return version

    def remove(self, case: SandboxCase) -> None:
        """Take a case out, as if nobody had ever sent it."""
        del self._cases[case.id]
        for side in (case.clinic, case.lab):
            del self._of[side.id][case.id]

    def get(self, case_id: str) -> SandboxCase | None:
        """Return a case."""
        return self._cases.get(case_id.lower())

    def of(self, account: Account) -> list[SandboxCase]:
        """Return the cases that an account is a side of, the last touched first."""
        return sorted(
            self._of.get(account.id, {}).values(),
            key=lambda case: (case.newest.at, case.serial),
            reverse=True,
        )

    @property
    def count(self) -> int:
        """How many cases were ever sent."""
        return self._serial

    def everything(self) -> list[SandboxCase]:
        """Return all cases in the order in which they were sent."""
        return list(self._cases.values())
