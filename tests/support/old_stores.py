"""Stores as the release of commit c4d305c has left them: a SQLite file, and a dump of PostgreSQL.

They hold connections in every state, open requests, cursors and an audit record, made at `MADE_AT`.
"""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

MADE_AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
# The practices with tokens; the tokens are named after them.
LIVE_TOKENS = (
    "both",
    "connected",
    "degraded",
    "lost",
    "needs-repair",
    "revoking",
    "twin-1",
    "twin-2",
    "under-way",
)
_DATA = Path(__file__).resolve().parents[1] / "data"


def old_store(kind: str, folder: Path) -> str:
    """Return the URL of such a store."""
    from tests.support.stores import empty_url

    url = empty_url(kind, folder)
    if kind == "sqlite":
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(mode=0o700, parents=True)
        path.write_bytes(gzip.decompress((_DATA / "store_c4d305c.db.gz").read_bytes()))
        path.chmod(0o600)
        return url
    import psycopg

    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as db:
        db.execute((_DATA / "store_c4d305c.sql").read_bytes())
        db.execute(b"SELECT pg_catalog.set_config('search_path', '\"$user\", public', false)")
    return url
