"""Open authorization requests and codes that were spent: single use, whoever asks first."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from connector.errors import StoreDamagedError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.redirect.code import canonical_code
from connector.store.database import Execute
from connector.store.sealing import place
from connector.store.vault import Vault, new_mark

__all__ = ["RequestRecords"]

_AT = place("ormco_requests", "sealed")
# Dead after ten minutes; kept for a while, so that "too late" can be told from "never heard of".
_KEPT_SECONDS = 3600.0
_CODE_SECONDS = 7 * 86400.0


class RequestRecords(Vault):
    """The part of the store that single use rests on."""

    def put_request(self, request: AuthorizationRequest) -> None:
        """Keep a request until it is taken; sweep those that have long been dead."""
        digest, now = _digest(request.state), self.clock.time()
        text = json.dumps({**asdict(request), "created_at": request.created_at.isoformat()})
        sealed = self._keys().seal(text, at=_AT, row=digest)
        values = (digest, request.practice_id, request.expires_at.timestamp(), sealed)

        def work(execute: Execute) -> None:
            execute("DELETE FROM ormco_requests WHERE expires_at < ?", (now - _KEPT_SECONDS,))
            execute(
                "INSERT INTO ormco_requests (state_digest, practice_id, expires_at, sealed) "
                "VALUES (?, ?, ?, ?) ON CONFLICT (state_digest) DO NOTHING",
                values,
            )

        self._write(work)

    def find_request(self, state: str) -> AuthorizationRequest | None:
        """Return the request with this state, even when it is dead, unless it was taken."""
        digest = _digest(state)
        row = self._one(
            "SELECT sealed FROM ormco_requests WHERE state_digest = ? AND taken_by IS NULL", (digest,)
        )
        return None if row is None else self._open_request(digest, row[0])

    def open_requests(self, practice_id: str) -> list[AuthorizationRequest]:
        """Return the requests of a practice that still wait for their answer, the newest first."""
        rows = self._all(
            "SELECT state_digest, sealed FROM ormco_requests WHERE practice_id = ? AND taken_by IS NULL "
            "AND expires_at > ? ORDER BY expires_at DESC",
            (practice_id, self.clock.time()),
        )
        return [self._open_request(digest, sealed) for digest, sealed in rows]

    def take_request(self, state: str) -> bool:
        """Use a request up; of several that try, one is told True."""
        digest, mark = _digest(state), new_mark()

        def work(execute: Execute) -> bool:
            execute(
                "UPDATE ormco_requests SET taken_by = ? WHERE state_digest = ? AND taken_by IS NULL",
                (mark, digest),
            )
            row = execute("SELECT taken_by FROM ormco_requests WHERE state_digest = ?", (digest,)).fetchone()
            return row is not None and row[0] == mark

        return self._write(work)

    def spend_code(self, code: str) -> bool:
        """Record that a code is about to be sent; False if any process has recorded it before.

        An equal code that is spelt otherwise is the same code.
        """
        digest, mark, now = _digest(canonical_code(code)), new_mark(), self.clock.time()

        def work(execute: Execute) -> bool:
            execute("DELETE FROM ormco_spent_codes WHERE spent_at < ?", (now - _CODE_SECONDS,))
            execute(
                "INSERT INTO ormco_spent_codes (digest, spent_at, spent_by) VALUES (?, ?, ?) "
                "ON CONFLICT (digest) DO NOTHING",
                (digest, now, mark),
            )
            row = execute("SELECT spent_by FROM ormco_spent_codes WHERE digest = ?", (digest,)).fetchone()
            return bool(row[0] == mark)

        return self._write(work)

    def returned_state(self, provider: str) -> bool:
        """Return whether a provider is known to return the state, because it has done so once."""
        return self._one("SELECT 1 FROM ormco_providers WHERE provider = ?", (provider,)) is not None

    def note_returned_state(self, provider: str) -> None:
        """Remember, for everybody on this store, that a provider returns the state."""
        if self.returned_state(provider):
            return
        values = (provider, self.clock.time())
        self._write(
            lambda execute: execute(
                "INSERT INTO ormco_providers (provider, returned_state_at) VALUES (?, ?) "
                "ON CONFLICT (provider) DO NOTHING",
                values,
            )
        )

    def _open_request(self, digest: str, sealed: bytes) -> AuthorizationRequest:
        text = self._opened(lambda ring: ring.open(sealed, at=_AT, row=digest))
        try:
            values: dict[str, Any] = json.loads(text)
            return AuthorizationRequest(
                **{**values, "created_at": datetime.fromisoformat(values["created_at"])}
            )
        except (ValueError, TypeError, KeyError) as exc:
            raise StoreDamagedError(
                "a stored authorization request cannot be read",
                hint="Begin again: `ormco begin` or `ormco connect`.",
            ) from exc


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
