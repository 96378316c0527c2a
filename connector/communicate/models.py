"""Cases of 3Shape Communicate, and how to read one from the metadata API's JSON.

Reading is tolerant: a missing, invalid or unknown field does not prevent reading the rest of a case.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connector.communicate.status import label_of

__all__ = ["Case", "CaseActor", "CaseFile", "Patient", "is_case_id", "lowered", "read_case", "read_timestamp"]

# Ids are used in addresses, file names and the store's rows.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
# "No date" is 1753-01-01 (SQL Server's first date), sometimes .NET's year 1.
_FIRST_YEAR = 1900
KINDS = ("scan", "design", "attachment")
_ORDER_NUMBERS = ("OrderNo", "ThreeShapeOrderNo", "ManufacturingProductionTag")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseActor:
    """One party of a case; `id` is its Communicate id, `roles` are such as "Clinic" or "Lab"."""

    id: str
    roles: tuple[str, ...] = ()
    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A scan, a design or an attachment of a case.

    Attributes:
        kind: "scan", "design" or "attachment".
        name: an attachment's own name, which may contain the patient's; scans and designs have none.
        sha1: SHA-1 of the content as 40 lower-case hex digits, or None if the provider does not state it.
        file_type: the usual ending of its name, without the dot.
        part: the jaw of a scan, or the type of the others.
        href: its address at the provider; only the provider's own hosts are contacted.
    """

    kind: str
    id: str | None = None
    name: str | None = field(default=None, repr=False)
    sha1: str | None = None
    file_type: str | None = None
    part: str | None = None
    href: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """A key that distinguishes it from other files, "" if there is none."""
        return self.sha1 or self.id or self.href or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The patient of a case: health data, which is never stored or logged, and shown only on request."""

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
        version: increases with each update; 0 if the provider states no readable number.
        state, state_flag: as the provider wrote them, such as "Designed" and "Sent".
        updated: when this version was created, or None if the provider does not state it.
        order_numbers: by the provider's key; health data, as are `operator` (a name) and `comments`.
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
        """The portal's label, such as "Scanned sent"."""
        return label_of(self.state, self.state_flag)

    @property
    def patient_name(self) -> str:
        """The patient's name in one line; health data."""
        both = filter(None, (self.patient.first_name, self.patient.last_name))
        return self.patient.name or " ".join(both)

    @property
    def at(self) -> datetime | None:
        """The time of the last change, if the provider states it."""
        return self.updated or self.created

    @property
    def designs(self) -> str:
        """A digest of the set of designs, "" if there are none; it changes with a new design."""
        names = {file.key for file in self.files if file.kind == "design"}
        return _digest(sorted(names)) if names else ""

    @property
    def content(self) -> str:
        """A digest of the content that updates change; it distinguishes two versions without a number."""
        files = sorted(f"{file.kind} {file.key}" for file in self.files)
        updated = self.updated.isoformat() if self.updated else ""
        return _digest([str(self.version), self.label, updated, str(len(self.comments)), *files])


def read_case(value: object) -> Case | None:
    """Read a case object; return None if it has no usable id."""
    fields = lowered(value)
    identifier = _text(fields.get("id"))
    if identifier is None or not is_case_id(identifier):
        return None
    version, patient = _text(fields.get("version")) or "", lowered(fields.get("patient"))
    files = (_file(kind, item) for kind in KINDS for item in _list(fields.get(f"{kind}s")))
    order_numbers = {key: text for key in _ORDER_NUMBERS if (text := _text(fields.get(key.lower())))}
    return Case(
        id=identifier.lower(),
        version=int(version) if version.isascii() and version.isdigit() and len(version) < 18 else 0,
        state=_text(fields.get("state")),
        state_flag=_text(fields.get("stateflag")),
        created=read_timestamp(fields.get("created")),
        updated=read_timestamp(fields.get("updatedon")),
        received=read_timestamp(fields.get("receivedon")),
        delivery=read_timestamp(fields.get("deliverydate")),
        creator_id=_text(fields.get("creatorid")),
        actors=tuple(actor for item in _list(fields.get("actors")) if (actor := _actor(item))),
        files=tuple(file for file in files if file),
        patient=Patient(
            name=_text(fields.get("patientname")),
            first_name=_text(patient.get("firstname")),
            last_name=_text(patient.get("lastname")),
            external_id=_text(patient.get("externalid")),
            reference=_text(patient.get("patientrefno")),
        ),
        order_numbers=order_numbers,
        operator=_text(fields.get("operatorid")),
        comments=_list(fields.get("comments")),
        fields=value if isinstance(value, dict) else {},
    )


def is_case_id(text: str) -> bool:
    """Return whether a text can be the id of a case."""
    return _ID.fullmatch(text) is not None


def read_timestamp(value: object) -> datetime | None:
    """Read a date in any of the provider's forms as UTC; return None for "no date" and for invalid text.

    Examples:
        >>> read_timestamp("2026-02-03T13:38:24")
        datetime.datetime(2026, 2, 3, 13, 38, 24, tzinfo=datetime.timezone.utc)
        >>> read_timestamp("1753-01-01T00:00:00Z")
    """
    try:
        time = datetime.fromisoformat(_text(value) or "")
        time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if time.year >= _FIRST_YEAR else None


def lowered(value: object) -> dict[str, Any]:
    """Return an object with its keys in lower case, {} for anything else: the APIs use several spellings."""
    return {str(key).lower(): item for key, item in value.items()} if isinstance(value, dict) else {}


def _actor(item: object) -> CaseActor | None:
    fields = lowered(item)
    identifier, email = _text(fields.get("id")), _text(fields.get("email"))
    if identifier is None and email is None:
        return None
    roles = tuple(role for role in _list(fields.get("roles")) if isinstance(role, str))
    return CaseActor(id=identifier or "", roles=roles, email=email, name=_text(fields.get("name")))


def _file(kind: str, item: object) -> CaseFile | None:
    fields = lowered(item)
    file = CaseFile(
        kind=kind,
        id=_text(fields.get("id")),
        name=_text(fields.get("name")),
        sha1=_sha1(_text(fields.get("hash"))),
        file_type=(_text(fields.get("filetype")) or "").lstrip(".").lower() or None,
        part=_text(fields.get("jawtype")) or _text(fields.get("type")),
        href=_text(fields.get("href")),
    )
    return file if file.key else None


def _sha1(text: str | None) -> str | None:
    """Read a SHA-1 in hex or in base64, as .NET writes bytes."""
    if text and not _SHA1.fullmatch(text.lower()):
        with suppress(ValueError):
            text = base64.b64decode(text, validate=True).hex()
    text = (text or "").lower()
    return text if _SHA1.fullmatch(text) else None


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value.strip() or None if isinstance(value, str) else None
