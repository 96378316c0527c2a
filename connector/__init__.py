"""Authorize Ormco in a 3Shape Communicate account, and keep the connection alive."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.config import Config
    from connector.connection import Account, Connection, ConnectionState, Event, LabConnection
    from connector.connector import Connector
    from connector.errors import Action, ConnectorError
    from connector.oauth.authorization_request import AuthorizationRequest
    from connector.oauth.provider import ClientRegistration, Provider
    from connector.redact import Secret
    from connector.redirect.parse import AuthorizationResponse, parse_redirect
    from connector.repair import Repair

# Resolved on first use (PEP 562): `import connector` loads nothing heavy.
_MODULES = {
    "Account": "connection",
    "Action": "errors",
    "AuthorizationRequest": "oauth.authorization_request",
    "AuthorizationResponse": "redirect.parse",
    "ClientRegistration": "oauth.provider",
    "Config": "config",
    "Connection": "connection",
    "ConnectionState": "connection",
    "Connector": "connector",
    "ConnectorError": "errors",
    "Event": "connection",
    "LabConnection": "connection",
    "Provider": "oauth.provider",
    "Repair": "repair",
    "Secret": "redact",
    "parse_redirect": "redirect.parse",
}

__all__ = [
    "Account",
    "Action",
    "AuthorizationRequest",
    "AuthorizationResponse",
    "ClientRegistration",
    "Config",
    "Connection",
    "ConnectionState",
    "Connector",
    "ConnectorError",
    "Event",
    "LabConnection",
    "Provider",
    "Repair",
    "Secret",
    "parse_redirect",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
