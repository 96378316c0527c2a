"""A case as the metadata API writes it, with its irregularities."""

from __future__ import annotations

import time
from typing import Any

from connector.sandbox.accounts import Account
from connector.sandbox.case_files import CaseFile
from connector.sandbox.case_store import SandboxCase, Version
from connector.sandbox.sessions import state

__all__ = ["case_object", "metadata_url"]

_NO_DATE = "1753-01-01T00:00:00Z"
_FOREIGN = "https://files.elsewhere.test"


def metadata_url(region: str) -> str:
    """Return the base address of the metadata API of a region."""
    return f"{state.base_url}/metadata/{region}/api/"


def case_object(case: SandboxCase, version: Version) -> dict[str, Any]:
    """Return one version of a case."""
    whole = {
        **_order(case),
        **_dates(case, version),
        "Version": version.number,
        "State": version.state,
        "StateFlag": version.flag,
        "Href": f"{_host(case)}cases/{case.id}",
        "Actors": [_actor(case.clinic), _actor(case.lab)],
        "ModelElements": [],
        "Comments": list(version.comments),
    }
    for kind in ("Attachments", "Scans", "Designs"):
        whole[kind] = [_file(case, version, file) for file in version.files if file.kind == kind]
    return _unexpected(whole) if state.on("odd-values") else whole


def _order(case: SandboxCase) -> dict[str, Any]:
    return {
        "Id": case.id,
        "PatientName": f"{case.first_name} {case.last_name}",
        "Patient": {
            "FirstName": case.first_name,
            "LastName": case.last_name,
            "ExternalId": f"EXT-{case.serial:05}",
            "PatientRefNo": f"REF-{case.serial:05}",
        },
        "CreatorId": case.clinic.id,
        "OperatorId": f"{case.clinic.first_name} {case.clinic.last_name}",
        "ScanSource": "TRIOS",
        "Application": "TRIOS",
        "OrderNo": f"{30000 + case.serial}_160201135026",
        "ThreeShapeOrderNo": f"{1417500000 + case.serial}_20260718_1655_08",
        "ManufacturingProductionTag": None,
        "Model3D": None,
    }


def _dates(case: SandboxCase, version: Version) -> dict[str, Any]:
    delivery = _NO_DATE if case.serial % 2 else _date(case.created + 14 * 86400, case.serial)
    dates = {"Created": _date(case.created, case.serial), "DeliveryDate": delivery}
    if not state.on("no-updated-on"):
        dates["UpdatedOn"] = _date(version.at, case.serial + version.number)
        dates["ReceivedOn"] = _date(case.created, case.serial + 1)
    return dates


def _date(at: float, form: int) -> str:
    """Write a date in one of the three forms that the real API uses."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    return (f"{text}Z", text, f"{text}.{int(at * 1000) % 1000:03}Z")[form % 3]


def _host(case: SandboxCase) -> str:
    return f"{_FOREIGN}/api/" if state.on("foreign-hrefs") else metadata_url(case.clinic.region.key)


def _actor(account: Account) -> dict[str, Any]:
    bare = state.on("bare-actors")
    return {
        "Id": account.id,
        "Roles": [account.role],
        "Email": "" if bare else account.email,
        "Name": "" if bare else account.name,
    }


def _file(case: SandboxCase, version: Version, file: CaseFile) -> dict[str, Any]:
    known = None if state.on("no-hash") or state.on("changing-file") else file.sha1
    whole: dict[str, Any] = {
        "Id": file.id,
        "Hash": known,
        "FileType": file.file_type,
        "Href": f"{_host(case)}cases/{case.id}/attachments/{known or file.id}",
        "Type": file.part,
    }
    if file.kind == "Scans":
        scanned = {"ScanTimestamp": _date(case.created, 2), "JawType": file.part, "Type": "Preparation"}
        return whole | scanned
    if file.kind == "Attachments":
        dates = {"Created": _date(case.created, 0), "Updated": _date(version.at, 1)}
        return whole | dates | {"Name": file.name}
    return whole


def _unexpected(whole: dict[str, Any]) -> dict[str, Any]:
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
