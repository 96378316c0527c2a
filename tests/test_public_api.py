"""The names that other programs rely on, and what importing them costs."""

from __future__ import annotations

import builtins
import collections.abc
import inspect
import pydoc
import re
import subprocess
import sys
import typing
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, assert_type

import pytest

import connector
from connector import AsyncConnector, Connection, Connector

HEAVY = (
    *("requests", "requests_oauthlib", "playwright", "cryptography", "sqlite3"),
    *("psycopg", "keyring", "flask", "oauthlib"),
)
SMALL = ("ssl", "socket")
LIGHT = (*SMALL, "urllib3", "platformdirs", "rich", "email", "tomllib", "asyncio")


def test_public_names() -> None:
    """The package offers exactly these names, and each is there."""
    assert connector.__all__ == [
        *("AccessToken", "Account", "AccountConnection", "Action", "AsyncCases", "AsyncConnector"),
        *("AsyncLab", "AuthorizationRequest", "AuthorizationResponse", "Call", "Case", "CaseActor"),
        *("CaseEvent", "CaseFile", "CaseStatus", "CaseSummary", "Cases", "Check", "ClientRegistration"),
        *("Clock", "Config", "Connection", "ConnectionState", "Connector", "ConnectorError", "Diagnosis"),
        *("Done", "Download", "Event", "LabConnection", "LabReport", "LastResort", "Need", "Next"),
        *("OrmcoLab", "Pace", "Patient", "Provider", "RefreshSummary", "Removal", "Repair", "Result"),
        *("Revocation", "RevocationSteps", "Secret", "Side", "Step", "StoreSummary", "WatchPlan"),
        *("WatchReport", "parse_redirect"),
    ]
    for name in connector.__all__:
        assert getattr(connector, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Names that do not exist fail as they do in any module."""
    with pytest.raises(AttributeError, match="no attribute 'Conector'"):
        connector.Conector  # type: ignore[attr-defined]  # noqa: B018


def loaded_by(program: str, stdin: str = "") -> set[str]:
    """Run a program in a process of its own; return the modules and top-level packages it has loaded."""
    report = f"{program}\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", report], input=stdin, capture_output=True, text=True, check=True
    )
    return {part for name in run.stderr.split() for part in (name, name.split(".")[0])}


@pytest.mark.parametrize(
    ("program", "more"),
    [
        ("import connector", ()),
        ("from connector import Connector, Config; Connector.from_config(Config.from_env({}))", ()),
        ("import connector.sandbox", ("authlib", "werkzeug")),
        ("import connector.config, connector.oauth.provider, connector.errors, connector.cli.output", LIGHT),
        ("from connector.cli import ormco; ormco(['--help'], standalone_mode=False)", ()),
        ("from connector.cli import ormco; ormco(['code'], standalone_mode=False)", (*SMALL, "urllib.parse")),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(program: str, more: Collection[str]) -> None:
    """Package, settings, `ormco --help` and `ormco code` load no HTTP, browser, crypto or database."""
    code = "ab" * 32
    assert loaded_by(program, f"https://ormco.com/?code={code}").isdisjoint({*HEAVY, *more})


if TYPE_CHECKING:  # mypy refuses each of these lines, and reports an ignore comment that is not needed

    async def misspell(connector: Connector, other: AsyncConnector) -> None:
        """Names, methods and arguments of both connectors."""
        connector.cases.lst("practice-42")  # type: ignore[attr-defined]
        await other.cases.lst("practice-42")  # type: ignore[attr-defined]
        await other.begin("practice-42", bindng="session")  # type: ignore[call-arg]
        async for each in other.connections(needs_atention=True):  # type: ignore[call-arg]
            each.sate  # type: ignore[attr-defined]  # noqa: B018
        assert_type(await other.complete("https://ormco.com/"), Connection)


def test_help_names_the_methods_of_cases_and_lab() -> None:
    """`help(Connector)` shows the methods of `cases` and `lab`."""
    shown = pydoc.plain(pydoc.render_doc(connector.Connector))
    for name, kind in (("cases", connector.Cases), ("lab", connector.OrmcoLab)):
        (words,) = re.findall(rf" {name} = .*?\n(.*?)\n\s*\|\s*\n", shown, re.DOTALL)
        for method in (each for each in vars(kind) if not each.startswith("_") and each != "close"):
            assert f"`{method}`" in words, f"{name}.{method}"


# Names in annotations that are no public types: those of Python and other packages, and aliases of functions.
FOREIGN = {*dir(builtins), *dir(typing), *dir(collections.abc), "Path", "TracebackType", "datetime"}
FOREIGN |= {"httpx", "requests", "threading"}
FUNCTIONS = {"Capture", "Handler", "Lag", "Problem", "Progress", "Remove", "Target", "Waiting"}


def annotations_of(kind: type) -> Iterator[str]:
    """The annotations of a class's fields and public methods, as they are written."""
    yield from (str(text) for name, text in inspect.get_annotations(kind).items() if name[0] != "_")
    for name, member in vars(kind).items():
        if name[0] != "_" and name != "scope":
            function = getattr(member, "__func__", getattr(member, "func", getattr(member, "fget", member)))
            yield from map(str, getattr(function, "__annotations__", {}).values())


def test_everything_that_a_call_takes_or_returns_is_exported() -> None:
    """No private module has to be imported to annotate a variable."""
    for name in set(connector.__all__) - {"Clock", "parse_redirect"}:
        for text in annotations_of(getattr(connector, name)):
            names = set(re.findall(r"(?<![\w.'\"])[A-Za-z]\w+", text)) - FOREIGN - FUNCTIONS
            assert names <= set(connector.__all__), f"{name}: {text}"
