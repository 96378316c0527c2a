"""Authorize Ormco in a 3Shape Communicate account, and keep the connection alive."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.authorization_request import AuthorizationRequest
    from connector.authorization_response import AuthorizationResponse, parse_redirect
    from connector.config import Config
    from connector.connection import Account, Connection, ConnectionState, Event, LabConnection
    from connector.errors import ConnectorError
    from connector.lifecycle import Connector
    from connector.provider import ClientRegistration, Provider
    from connector.repair import Repair

# Resolved on first use (PEP 562): `import connector` loads nothing heavy.
_MODULES = {
    "Account": "connection",
    "AuthorizationRequest": "authorization_request",
    "AuthorizationResponse": "authorization_response",
    "ClientRegistration": "provider",
    "Config": "config",
    "Connection": "connection",
    "ConnectionState": "connection",
    "Connector": "lifecycle",
    "ConnectorError": "errors",
    "Event": "connection",
    "LabConnection": "connection",
    "Provider": "provider",
    "Repair": "repair",
    "parse_redirect": "authorization_response",
}

__all__ = [
    "Account",
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
    "parse_redirect",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
