"""A case of 3Shape Communicate: an order that a clinic and a lab work on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.communicate.case_status import label_of

__all__ = ["Case", "CaseActor", "CaseFile", "Patient"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseActor:
    """One side of a case.

    Attributes:
        id: the Communicate id; e-mail address and name may be missing.
        roles: such as "Clinic" or "Lab".
    """

    id: str
    roles: tuple[str, ...] = ()
    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A scan, a design or an attachment of a case.

    Attributes:
        kind: "scan", "design" or "attachment".
        name: an attachment's own name, which may name the patient; scans and designs have none.
        sha1: SHA-1 of the content as 40 lower-case hex digits, or None where it is not told.
        file_type: the usual ending of its name, without the dot.
        part: what it shows: the jaw of a scan, the type of the others.
        href: where the provider says it is; only its own hosts may be asked.
    """

    kind: str
    id: str | None = None
    name: str | None = field(default=None, repr=False)
    sha1: str | None = None
    file_type: str | None = None
    part: str | None = None
    href: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Whom a case is about: health data, which nothing here stores, logs or shows unasked."""

    name: str | None = field(default=None, repr=False)
    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    external_id: str | None = field(default=None, repr=False)
    reference: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One version of a case.

    Attributes:
        id: the same for all versions.
        version: rises with each update.
        state: as the provider wrote it, such as "Designed".
        state_flag: as the provider wrote it, such as "Sent", or None.
        updated: when this version came about, or None where the provider does not tell.
        creator_id: Communicate id of who sent it.
        order_numbers: by the provider's key; health data.
        operator: a person's name; health data.
        comments: health data.
        files: scans, designs and attachments, in this order.
        fields: everything the provider sent, health data included.
    """

    id: str
    version: int = 0
    state: str | None = None
    state_flag: str | None = None
    created: datetime | None = None
    updated: datetime | None = None
    received: datetime | None = None
    delivery: datetime | None = None
    creator_id: str | None = None
    actors: tuple[CaseActor, ...] = field(default=(), repr=False)
    files: tuple[CaseFile, ...] = field(default=(), repr=False)
    patient: Patient = field(default_factory=Patient, repr=False)
    order_numbers: Mapping[str, str] = field(default_factory=dict, repr=False)
    operator: str | None = field(default=None, repr=False)
    comments: Sequence[Any] = field(default=(), repr=False)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """What the portal shows, such as "Scanned sent"."""
        return label_of(self.state, self.state_flag)

    @property
    def patient_name(self) -> str:
        """Whom it is about, in one line; health data."""
        parts = " ".join(part for part in (self.patient.first_name, self.patient.last_name) if part)
        return self.patient.name or parts

    @property
    def at(self) -> datetime | None:
        """When it was last touched, as far as the provider tells."""
        return self.updated or self.created

    @property
    def designs(self) -> str:
        """A digest of the set of designs, or "" where there are none; it tells a new design from the old."""
        names = {file.sha1 or file.id or file.href or "" for file in self.files if file.kind == "design"}
        return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:32] if names else ""

    def involves(self, ids: Collection[str], emails: Collection[str]) -> bool:
        """Return whether one of these, case folded, is an actor or sent the case."""
        if (self.creator_id or "").casefold() in ids:
            return True
        return any(
            actor.id.casefold() in ids or (actor.email or "").casefold() in emails for actor in self.actors
        )
