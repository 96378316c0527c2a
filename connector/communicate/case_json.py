"""A case as the metadata API writes it: read tolerantly, whatever is missing, odd or new in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connector.communicate.case import Case, CaseActor, CaseFile, Patient

__all__ = ["is_case_id", "read_case", "read_moment"]

# Ids become parts of addresses, of file names and of the store's rows.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA1 = re.compile(r"[0-9a-f]{40}")
# "No date" is 1753-01-01 (the first that SQL Server has), sometimes .NET's year 1.
_FIRST_YEAR = 1900
_FILE_LISTS = {"scan": "Scans", "design": "Designs", "attachment": "Attachments"}


def read_case(value: object) -> Case | None:
    """Read a case object; unknown fields are kept, missing or odd ones left out.

    Returns:
        The case, or None if it is no object with a usable id.
    """
    fields = _fields(value)
    identifier = _text(fields.get("id"))
    if identifier is None or not is_case_id(identifier):
        return None
    return Case(
        id=identifier.lower(),
        version=_number(fields.get("version")),
        state=_text(fields.get("state")),
        state_flag=_text(fields.get("stateflag")),
        created=read_moment(fields.get("created")),
        updated=read_moment(fields.get("updatedon")),
        received=read_moment(fields.get("receivedon")),
        delivery=read_moment(fields.get("deliverydate")),
        creator_id=_text(fields.get("creatorid")),
        actors=tuple(actor for item in _list(fields.get("actors")) if (actor := _actor(item))),
        files=tuple(
            file
            for kind, key in _FILE_LISTS.items()
            for item in _list(fields.get(key.lower()))
            if (file := _file(kind, item))
        ),
        patient=_patient(fields),
        order_numbers={
            key: text
            for key in ("OrderNo", "ThreeShapeOrderNo", "ManufacturingProductionTag")
            if (text := _text(fields.get(key.lower())))
        },
        operator=_text(fields.get("operatorid")),
        comments=_list(fields.get("comments")),
        fields=value if isinstance(value, dict) else {},
    )


def is_case_id(text: str) -> bool:
    """Return whether a text can be the id of a case."""
    return _ID.fullmatch(text) is not None


def read_moment(value: object) -> datetime | None:
    """Read a date as the provider writes it: with "Z", without a zone, with fractions of a second.

    Returns:
        The moment in UTC, or None for "no date" and for what is not a date.

    Examples:
        >>> read_moment("2026-02-03T13:38:24")
        datetime.datetime(2026, 2, 3, 13, 38, 24, tzinfo=datetime.timezone.utc)
        >>> read_moment("1753-01-01T00:00:00Z")
    """
    text = _text(value)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year >= _FIRST_YEAR else None


def _actor(item: object) -> CaseActor | None:
    fields = _fields(item)
    identifier = _text(fields.get("id"))
    email = _text(fields.get("email"))
    if identifier is None and email is None:
        return None
    return CaseActor(
        id=identifier or "",
        roles=tuple(role for role in _list(fields.get("roles")) if isinstance(role, str)),
        email=email,
        name=_text(fields.get("name")),
    )


def _file(kind: str, item: object) -> CaseFile | None:
    fields = _fields(item)
    file = CaseFile(
        kind=kind,
        id=_text(fields.get("id")),
        name=_text(fields.get("name")),
        sha1=_sha1(_text(fields.get("hash"))),
        file_type=(_text(fields.get("filetype")) or "").lstrip(".").lower() or None,
        part=_text(fields.get("jawtype")) or _text(fields.get("type")),
        href=_text(fields.get("href")),
    )
    return file if file.id or file.sha1 or file.href else None


def _patient(fields: Mapping[str, Any]) -> Patient:
    inner = _fields(fields.get("patient"))
    return Patient(
        name=_text(fields.get("patientname")),
        first_name=_text(inner.get("firstname")),
        last_name=_text(inner.get("lastname")),
        external_id=_text(inner.get("externalid")),
        reference=_text(inner.get("patientrefno")),
    )


def _sha1(text: str | None) -> str | None:
    """Read a SHA-1 in hex or, as .NET likes to write bytes, in base64."""
    if text is None or _SHA1.fullmatch(text.lower()):
        return text and text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return raw.hex() if len(raw) == hashlib.sha1(usedforsecurity=False).digest_size else None


def _fields(value: object) -> dict[str, Any]:
    # Keys in lower case: the two generations of the API do not agree on capitals.
    return {str(key).lower(): item for key, item in value.items()} if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value.strip() or None if isinstance(value, str) else None


def _number(value: object) -> int:
    text = _text(value)
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 18 else 0
