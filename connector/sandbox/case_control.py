"""The control of cases: takes the actions of both sides, by JSON calls without a token."""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import replace
from typing import Any

from flask import Blueprint, abort

from connector.sandbox.accounts import LABS_OF_ORMCO, PRACTICE, REGIONS, Account
from connector.sandbox.case_files import HOSTILE_NAMES, CaseFile, new_attachment
from connector.sandbox.case_store import ACTIONS, SandboxCase
from connector.sandbox.control import json_body
from connector.sandbox.sessions import state

__all__ = ["blueprint", "send_case"]

blueprint: Blueprint = Blueprint("case_control", __name__)

_MOST = 10_000
_LARGEST_FILE = 64 * 1024 * 1024
_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve"), ("Example", "Made-Up", "Nobody", "Sample")


@blueprint.get("/sandbox/cases")
def show() -> dict[str, Any]:
    """Return all cases: their status, and the actions of either side."""
    return {"cases": [_summary(case) for case in state.cases.everything()]}


@blueprint.post("/sandbox/cases")
def send() -> dict[str, Any]:
    """Let a practice send cases to Ormco's lab of its region, or to another.

    Keys, all optional: `practice` and `lab` (e-mail addresses), `count`, `patient` ([first, last]), and
    `attachments`, a list of {`name`, `file_type`, and `content` in base64 or `size`}.
    """
    body = json_body()
    clinic = _account_of(body.get("practice", PRACTICE.email))
    lab = _account_of(body.get("lab", LABS_OF_ORMCO[clinic.region.key].email))
    if clinic.is_lab or not lab.is_lab:
        abort(400, "A practice sends cases to a lab.")
    files = [_attachment(item) for item in _list(body.get("attachments", []))]
    patient = body.get("patient")
    if patient is not None and (not isinstance(patient, list) or len(patient) != 2):
        abort(400, "patient is not [first name, last name].")
    _connect(clinic, lab)
    cases = [send_case(clinic, lab, files=files, patient=patient) for _ in range(_count(body))]
    return {"cases": [case.id for case in cases]}


@blueprint.post("/sandbox/cases/<case_id>/<action>")
def act(case_id: str, action: str) -> dict[str, Any]:
    """Carry out an action of a side; `status` with {`state`, `state_flag`} sets any status."""
    case, body = _case(case_id), json_body()
    if action == "status":
        word, flag = body.get("state"), body.get("state_flag")
        if not isinstance(word, str) or not (flag is None or isinstance(flag, str)):
            abort(400, "state and state_flag are not texts.")
        state.cases.update(case, (word, flag), did="status", role=None, designs=body.get("designs") is True)
        return _summary(case)
    if action not in ACTIONS:
        abort(400, f"There is no action {action!r}; there are {', '.join(ACTIONS)} and status.")
    try:
        state.cases.act(case, action, ACTIONS[action].role or "Clinic")
    except ValueError as impossible:
        abort(400, f"{impossible}.")
    return _summary(case)


@blueprint.delete("/sandbox/cases/<case_id>")
def remove(case_id: str) -> dict[str, Any]:
    """Delete a case."""
    state.cases.remove(_case(case_id))
    return {"removed": case_id}


@blueprint.post("/sandbox/practices")
def add_practices() -> dict[str, Any]:
    """Create more practices: `count` of them in `region`, connected with Ormco's lab there."""
    body = json_body()
    region = body.get("region", PRACTICE.region.key)
    if not isinstance(region, str) or region not in REGIONS:
        abort(400, f"There is no region {region!r}.")
    added = []
    for _ in range(_count(body)):
        number = len(state.accounts) + 1
        account = replace(
            PRACTICE,
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"sandbox-practice-{number}")),
            email=f"practice-{number}@sandbox.test",
            name=f"Practice {number}",
            region=REGIONS[region],
        )
        state.accounts = {**state.accounts, account.id: account}
        _connect(account, LABS_OF_ORMCO[region])
        added.append({"id": account.id, "username": account.email, "password": account.password})
    return {"practices": added}


def send_case(
    clinic: Account, lab: Account, *, files: list[CaseFile] | None = None, patient: list[str] | None = None
) -> SandboxCase:
    """Send one case, with a made-up patient if none is given."""
    serial = state.cases.count
    first, last = (
        (str(name) for name in patient) if patient else (names[serial % len(names)] for names in _NAMES)
    )
    hostile = [new_attachment(name, f"{name!r} {serial}".encode()) for name in HOSTILE_NAMES]
    own = [*(files or []), *(hostile if state.on("hostile-names") else [])]
    return state.cases.send(clinic, lab, patient=(first, last), files=own)


def _connect(clinic: Account, lab: Account) -> None:
    state.lab_connections.request(clinic, lab).accepted = True


def _summary(case: SandboxCase) -> dict[str, Any]:
    return {
        "id": case.id,
        "practice": case.clinic.email,
        "lab": case.lab.email,
        "label": case.newest.label,
        "version": case.newest.number,
        "actions": {"clinic": list(case.actions("Clinic")), "lab": list(case.actions("Lab"))},
    }


def _case(case_id: str) -> SandboxCase:
    return state.cases.get(case_id) or abort(404, "There is no such case.")


def _account_of(email: object) -> Account:
    found = state.account_by_email(email) if isinstance(email, str) else None
    return found or abort(400, "There is no such account.")


def _count(body: dict[str, Any]) -> int:
    count = body.get("count", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST:
        abort(400, f"count is not a number from 1 to {_MOST}.")
    return count


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else abort(400, "attachments is not a list.")


def _attachment(item: object) -> CaseFile:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        abort(400, "An attachment is an object with a name.")
    size = item.get("size", 1000)
    if not isinstance(size, int) or not 0 <= size <= _LARGEST_FILE:
        abort(400, "size is not a number of bytes.")
    try:
        content = base64.b64decode(item["content"], validate=True) if "content" in item else None
    except (binascii.Error, TypeError, ValueError):
        abort(400, "content is not base64.")
    made_up = (item["name"].encode("utf-8", "replace") + b" ") * (size // (len(item["name"]) + 1) + 1)
    return new_attachment(item["name"], made_up[:size] if content is None else content, item.get("file_type"))
