"""The names that other programs rely on, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import connector

HEAVY = (
    "requests",
    "requests_oauthlib",
    "playwright",
    "cryptography",
    "sqlite3",
    "psycopg",
    "keyring",
    "flask",
)


def test_public_names() -> None:
    """The package offers exactly these names, and each is there."""
    assert connector.__all__ == [
        "AccessToken",
        "Account",
        "Action",
        "AsyncConnector",
        "AuthorizationRequest",
        "AuthorizationResponse",
        "Call",
        "Case",
        "CaseEvent",
        "CaseFile",
        "CaseSummary",
        "Cases",
        "Check",
        "ClientRegistration",
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
        "OrmcoLab",
        "Pace",
        "Provider",
        "RefreshSummary",
        "Removal",
        "Repair",
        "Revocation",
        "RevocationSteps",
        "Secret",
        "Step",
        "StoreSummary",
        "WatchPlan",
        "WatchReport",
        "parse_redirect",
    ]
    for name in connector.__all__:
        assert getattr(connector, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Names that do not exist fail as they do in any module."""
    with pytest.raises(AttributeError, match="no attribute 'Conector'"):
        connector.Conector  # type: ignore[attr-defined]  # noqa: B018


def loaded_by(program: str, stdin: str = "") -> set[str]:
    """Run a program in a process of its own; return the top-level modules it has loaded."""
    report = f"{program}\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", report], input=stdin, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in run.stderr.split()}


@pytest.mark.parametrize(
    "program",
    [
        "import connector",
        "from connector import Connector, Config; Connector.from_config(Config.from_env({}))",
        "from connector.cli import ormco; ormco(['--help'], standalone_mode=False)",
        "from connector.cli import ormco; ormco(['code'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(program: str) -> None:
    """Importing the package, `ormco --help` and `ormco code` load no HTTP, browser, crypto or database."""
    code = "ab" * 32
    assert loaded_by(program, f"https://ormco.com/?code={code}").isdisjoint(HEAVY)
