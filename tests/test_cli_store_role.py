"""A PostgreSQL role that may only read and write rows: every command works once the owner made the tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import time_machine
from click.testing import CliRunner, Result

from connector.cli import ormco
from tests.support.connecting import settings
from tests.support.sandbox import RunningSandbox
from tests.support.stores import empty_url

Env = dict[str, str]
READING = (
    "status --summary",
    "token practice-42",
    "repair practice-42",
    "refresh --due-within 900",
    "audit practice-42",
    "lab status practice-42",
    "cases list practice-42",
    "cases watch practice-42 --once --since 1d",
    "keys rotate",
    "doctor practice-42 --json",
)


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[psycopg.Connection[Any]]:
    """The owner of an empty database."""
    with psycopg.connect(empty_url("postgresql", tmp_path), autocommit=True) as connection:
        yield connection


def url_of(admin: psycopg.Connection[Any], user: str = "ormco") -> str:
    return f"postgresql://{user}@/{admin.info.dbname}?host={admin.info.host}"


def run(env: Env, command: str, stdin: str = "") -> Result:
    """Run a command that succeeds."""
    result = CliRunner().invoke(ormco, command.split(), env=env, input=stdin)
    assert result.exit_code == 0, f"{command}: {result.output}"
    return result


def connect(env: Env, sandbox: RunningSandbox) -> None:
    url = run(env, "begin practice-42").stdout.strip()
    run(env, "complete practice-42", stdin=sandbox.authorize(url))


@pytest.fixture
def writer(admin: psycopg.Connection[Any], identity: RunningSandbox) -> Env:
    """The settings of a role that may not make tables, in a store that its owner has made."""
    role = f"writer_{admin.info.dbname}"
    run(settings(identity, url_of(admin)), "store upgrade")
    rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    for statement in (
        f"CREATE ROLE {role} LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"REVOKE TEMPORARY ON DATABASE {admin.info.dbname} FROM PUBLIC",
        f"GRANT {rights} TO {role}",
    ):
        admin.execute(statement.encode())
    return settings(identity, url_of(admin, role))


def test_a_role_that_may_only_write_rows_runs_every_command(writer: Env, identity: RunningSandbox) -> None:
    """From the consent to the end of the connection."""
    connect(writer, identity)
    for command in READING:
        run(writer, command)
    run(writer, "revoke practice-42 --yes")
    run(writer, "forget practice-42 --yes")
    assert run(writer, "status").stdout == "No connections.\n"


def test_a_role_that_may_only_write_rows_continues_after_a_month(
    writer: Env, identity: RunningSandbox
) -> None:
    """The record gets its months, and old ones are pruned, without the owner."""
    connect(writer, identity)
    for days in (35, 70):
        with time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True):
            run(writer, "begin practice-7")
            assert "2 entries were deleted" in run(writer, "audit prune --before 20d --yes").stdout
            assert run(writer, "audit").stdout.count("practice-7") == 1


def test_a_store_in_a_schema_of_its_own_leaves_nothing_in_public(
    admin: psycopg.Connection[Any], identity: RunningSandbox
) -> None:
    """The schema is named in libpq's words; commands, months and functions are in it."""
    admin.execute(b"CREATE SCHEMA practices")
    env = settings(identity, f"{url_of(admin)}&options=-csearch_path%3Dpractices")
    run(env, "store upgrade")
    connect(env, identity)
    for command in READING:
        run(env, command)
    sql = b"""
        SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname LIKE '%ormco%'
        UNION SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE '%ormco%'
    """
    assert set(admin.execute(sql).fetchall()) == {("practices",)}
