"""Authorize Ormco in a 3Shape Communicate account, and keep the connection alive."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.aio import AsyncCases, AsyncConnector, AsyncLab
    from connector.clock import Clock
    from connector.communicate.cases import Cases
    from connector.communicate.download import Download
    from connector.communicate.history import CaseEvent, CaseSummary
    from connector.communicate.lab import OrmcoLab
    from connector.communicate.lab_report import LabReport
    from connector.communicate.models import Case, CaseActor, CaseFile, Patient
    from connector.communicate.status import CaseStatus, Next, Side
    from connector.communicate.users import AccountConnection
    from connector.communicate.watch_plan import WatchPlan, WatchReport
    from connector.config import Config
    from connector.connection import AccessToken, Account, Connection, ConnectionState, Event, LabConnection
    from connector.connector import Connector
    from connector.doctor.check import Check, Result
    from connector.errors import Action, ConnectorError
    from connector.oauth.authorization_request import AuthorizationRequest
    from connector.oauth.provider import ClientRegistration, Provider
    from connector.observers import Call
    from connector.redact import Secret
    from connector.redirect.parse import AuthorizationResponse, parse_redirect
    from connector.refresh.pace import Pace
    from connector.refresh.tally import Done, RefreshSummary
    from connector.repair import Diagnosis, LastResort, Need, Repair, Step
    from connector.revocation import Revocation
    from connector.revocation.removal import Removal, RevocationSteps
    from connector.store.overview import StoreSummary

# Resolved on first use (PEP 562): `import connector` loads nothing heavy.
_MODULES = {
    "AccessToken": "connection",
    "Account": "connection",
    "AccountConnection": "communicate.users",
    "Action": "errors",
    "AsyncCases": "aio",
    "AsyncConnector": "aio",
    "AsyncLab": "aio",
    "AuthorizationRequest": "oauth.authorization_request",
    "AuthorizationResponse": "redirect.parse",
    "Call": "observers",
    "Case": "communicate.models",
    "CaseActor": "communicate.models",
    "CaseEvent": "communicate.history",
    "CaseFile": "communicate.models",
    "CaseStatus": "communicate.status",
    "CaseSummary": "communicate.history",
    "Cases": "communicate.cases",
    "Check": "doctor.check",
    "ClientRegistration": "oauth.provider",
    "Clock": "clock",
    "Config": "config",
    "Connection": "connection",
    "ConnectionState": "connection",
    "Connector": "connector",
    "ConnectorError": "errors",
    "Diagnosis": "repair",
    "Done": "refresh.tally",
    "Download": "communicate.download",
    "Event": "connection",
    "LabConnection": "connection",
    "LabReport": "communicate.lab_report",
    "LastResort": "repair",
    "Need": "repair",
    "Next": "communicate.status",
    "OrmcoLab": "communicate.lab",
    "Pace": "refresh.pace",
    "Patient": "communicate.models",
    "Provider": "oauth.provider",
    "RefreshSummary": "refresh.tally",
    "Removal": "revocation.removal",
    "Repair": "repair",
    "Result": "doctor.check",
    "Revocation": "revocation",
    "RevocationSteps": "revocation.removal",
    "Secret": "redact",
    "Side": "communicate.status",
    "Step": "repair",
    "StoreSummary": "store.overview",
    "WatchPlan": "communicate.watch_plan",
    "WatchReport": "communicate.watch_plan",
    "parse_redirect": "redirect.parse",
}

__all__ = [
    "AccessToken",
    "Account",
    "AccountConnection",
    "Action",
    "AsyncCases",
    "AsyncConnector",
    "AsyncLab",
    "AuthorizationRequest",
    "AuthorizationResponse",
    "Call",
    "Case",
    "CaseActor",
    "CaseEvent",
    "CaseFile",
    "CaseStatus",
    "CaseSummary",
    "Cases",
    "Check",
    "ClientRegistration",
    "Clock",
    "Config",
    "Connection",
    "ConnectionState",
    "Connector",
    "ConnectorError",
    "Diagnosis",
    "Done",
    "Download",
    "Event",
    "LabConnection",
    "LabReport",
    "LastResort",
    "Need",
    "Next",
    "OrmcoLab",
    "Pace",
    "Patient",
    "Provider",
    "RefreshSummary",
    "Removal",
    "Repair",
    "Result",
    "Revocation",
    "RevocationSteps",
    "Secret",
    "Side",
    "Step",
    "StoreSummary",
    "WatchPlan",
    "WatchReport",
    "parse_redirect",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import a public name on first use."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
