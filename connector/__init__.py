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
    from connector.refresh.rate_limit import Pace
    from connector.refresh.tally import Done, RefreshSummary
    from connector.repair import Diagnosis, LastResort, Need, Repair, Step
    from connector.revocation import Revocation
    from connector.revocation.removal import Removal, RevocationSteps
    from connector.store.overview import StoreSummary

# Resolved on first use (PEP 562): `import connector` loads nothing heavy.
_NAMES = {
    "aio": "AsyncCases AsyncConnector AsyncLab",
    "clock": "Clock",
    "communicate.cases": "Cases",
    "communicate.download": "Download",
    "communicate.history": "CaseEvent CaseSummary",
    "communicate.lab": "OrmcoLab",
    "communicate.lab_report": "LabReport",
    "communicate.models": "Case CaseActor CaseFile Patient",
    "communicate.status": "CaseStatus Next Side",
    "communicate.users": "AccountConnection",
    "communicate.watch_plan": "WatchPlan WatchReport",
    "config": "Config",
    "connection": "AccessToken Account Connection ConnectionState Event LabConnection",
    "connector": "Connector",
    "doctor.check": "Check Result",
    "errors": "Action ConnectorError",
    "oauth.authorization_request": "AuthorizationRequest",
    "oauth.provider": "ClientRegistration Provider",
    "observers": "Call",
    "redact": "Secret",
    "redirect.parse": "AuthorizationResponse parse_redirect",
    "refresh.rate_limit": "Pace",
    "refresh.tally": "Done RefreshSummary",
    "repair": "Diagnosis LastResort Need Repair Step",
    "revocation": "Revocation",
    "revocation.removal": "Removal RevocationSteps",
    "store.overview": "StoreSummary",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

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
