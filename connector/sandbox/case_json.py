"""A case as the metadata API writes it, oddities included."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from connector.sandbox.accounts import Account
from connector.sandbox.case_book import SandboxCase, Version
from connector.sandbox.case_files import CaseFile

__all__ = ["case_object"]

_NO_DATE = "1753-01-01T00:00:00Z"
_FOREIGN = "https://files.elsewhere.test"


def case_object(
    case: SandboxCase, version: Version, *, base: str, on: Callable[[str], bool]
) -> dict[str, Any]:
    """Return one version of a case.

    Args:
        case: which.
        version: its version.
        base: address of the metadata API, ending in "/api/".
        on: tells whether a scenario is set.
    """
    whole: dict[str, Any] = {
        "Id": case.id,
        "Version": version.number,
        "PatientName": f"{case.first_name} {case.last_name}",
        "Patient": {
            "FirstName": case.first_name,
            "LastName": case.last_name,
            "ExternalId": f"EXT-{case.serial:05}",
            "PatientRefNo": f"REF-{case.serial:05}",
        },
        "Created": _date(case.created, case.serial),
        "UpdatedOn": _date(version.at, case.serial + version.number),
        "ReceivedOn": _date(case.created, case.serial + 1),
        "CreatorId": case.clinic.id,
        "State": version.state,
        "StateFlag": version.flag,
        "DeliveryDate": _NO_DATE if case.serial % 2 else _date(case.created + 14 * 86400, case.serial),
        "Href": f"{_host(base, on)}cases/{case.id}",
        "OperatorId": f"{case.clinic.first_name} {case.clinic.last_name}",
        "ScanSource": "TRIOS",
        "Application": "TRIOS",
        "OrderNo": f"{30000 + case.serial}_160201135026",
        "ThreeShapeOrderNo": f"{1417500000 + case.serial}_20260718_1655_08",
        "ManufacturingProductionTag": None,
        "Model3D": None,
        "Actors": [_actor(case.clinic, on), _actor(case.lab, on)],
        "ModelElements": [],
        "Comments": list(version.comments),
    }
    for kind in ("Attachments", "Scans", "Designs"):
        listed = [file for file in version.files if file.kind == kind]
        whole[kind] = [_file(case, version, file, _host(base, on)) for file in listed]
    if on("no-updated-on"):
        del whole["UpdatedOn"], whole["ReceivedOn"]
    return _odd(whole) if on("odd-values") else whole


def _date(at: float, form: int) -> str:
    """Write a date in one of the three forms that were seen."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    return (f"{text}Z", text, f"{text}.{int(at * 1000) % 1000:03}Z")[form % 3]


def _host(base: str, on: Callable[[str], bool]) -> str:
    return f"{_FOREIGN}/api/" if on("foreign-hrefs") else base


def _actor(account: Account, on: Callable[[str], bool]) -> dict[str, Any]:
    bare = on("bare-actors")
    return {
        "Id": account.id,
        "Roles": [account.role],
        "Email": "" if bare else account.email,
        "Name": "" if bare else account.name,
    }


def _file(case: SandboxCase, version: Version, file: CaseFile, base: str) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "Id": file.id,
        "Hash": file.sha1,
        "FileType": file.file_type,
        "Href": f"{base}cases/{case.id}/attachments/{file.sha1}",
    }
    if file.kind == "Scans":
        return {
            **whole,
            "ScanTimestamp": _date(case.created, 2),
            "JawType": file.part,
            "Type": "Preparation",
        }
    if file.kind == "Designs":
        return {**whole, "Type": file.part}
    return {
        **whole,
        "Name": file.name,
        "Created": _date(case.created, 0),
        "Updated": _date(version.at, 1),
        "Type": file.part,
    }


def _odd(whole: dict[str, Any]) -> dict[str, Any]:
    return {
        **whole,
        "Version": str(whole["Version"]),
        "DeliveryDate": "0001-01-01T00:00:00",
        "ReceivedOn": "soon",
        "Comments": None,
        "Scans": {"Count": 2},
        "Actors": [*whole["Actors"], None, "nobody", {"Roles": "Lab"}],
        "StateFlag": whole["StateFlag"] or "",
        "WorkflowHints": {"Deeply": [{"Nested": True}]},
        "Priority": 7,
    }
