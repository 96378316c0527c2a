"""The doctor's look at a store that others share."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector import Config
from connector.config import Secret
from connector.doctor import local_checks
from connector.resources import Resources
from tests.support.stores import KEY, fresh_url


@pytest.mark.parametrize(("kind", "pooled"), [("postgresql", False), ("pgbouncer", True)])
def test_a_pooler_and_the_databases_clock_are_named(kind: str, pooled: bool, tmp_path: Path) -> None:
    """The report names a PgBouncer in between, and says whether the two clocks agree."""
    resources = Resources(Config(store=fresh_url(kind, tmp_path), store_keys=Secret(KEY)))
    resources.store.check()
    checks = {check.name: check for check in local_checks.store(resources)}
    assert ("PgBouncer" in checks["store"].detail) is pooled
    assert checks["store_clock"].result == "ok"
