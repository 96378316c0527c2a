"""Open authorization requests and spent codes: each can be used once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from connector.errors import StoreDamagedError
from connector.oauth.authorization_request import AuthorizationRequest
from connector.redirect.code import canonical_code
from connector.store.database import Database
from connector.store.owners import new_mark
from connector.store.sealing import associated_data, is_first_version
from connector.store.store_keys import StoreKeys

__all__ = ["REQUESTS_TABLE", "RequestRecords", "request_data"]

REQUESTS_TABLE = "ormco_requests"
# Requests expire after ten minutes; they are kept for an hour, so that "expired" differs from "unknown".
_KEPT_SECONDS = 3600.0
_CODE_SECONDS = 7 * 86400.0


class RequestRecords:
    """Stores requests and the digests of used codes, and enforces their single use."""

    def __init__(self, database: Database, keys: StoreKeys) -> None:
        self._database = database
        self._keys = keys

    def put(self, request: AuthorizationRequest) -> None:
        """Store a request until it is taken; delete those that expired long ago."""
        digest, now = _digest(request.state), self._database.clock.time()
        text = json.dumps({**asdict(request), "created_at": request.created_at.isoformat()})
        sealed = self._keys.ring().seal(text, request_data(self._database.store_id, digest))
        del text  # it holds the state, and reporters collect local variables
        put = (
            "INSERT INTO ormco_requests (state_digest, practice_id, expires_at, sealed) "
            "VALUES (?, ?, ?, ?) ON CONFLICT (state_digest) DO NOTHING"
        )
        values = (digest, request.practice_id, request.expires_at.timestamp(), sealed)
        sweep = "DELETE FROM ormco_requests WHERE expires_at < ?", (now - _KEPT_SECONDS,)
        self._database.apply([(put, values), sweep])

    def find(self, state: str) -> AuthorizationRequest | None:
        """Return the request with this state, even if it has expired, unless it was taken."""
        return next(self._read("state_digest = ? AND taken_by IS NULL", _digest(state)), None)

    def open_for(self, practice_id: str) -> list[AuthorizationRequest]:
        """Return the open requests of a practice, the newest first."""
        now = self._database.clock.time()
        return list(self._read("practice_id = ? AND taken_by IS NULL AND expires_at > ?", practice_id, now))

    def answered(
        self, *, state: str | None, practice_id: str | None, binding: str | None
    ) -> AuthorizationRequest | None:
        """Return the request that was answered before, if it belongs to the same session.

        Without a state, return the newest answered request of the practice with this binding. `binding` is
        the digest of the session secret.
        """
        column, value = ("practice_id", practice_id) if state is None else ("state_digest", _digest(state))
        for request in self._read(f"{column} = ? AND taken_by IS NOT NULL", value):
            if practice_id in (None, request.practice_id) and request.binding == binding:
                return request
        return None

    def is_spent(self, code: str) -> bool:
        """Return whether a code was recorded as sent, by any process."""
        sql = "SELECT 1 FROM ormco_spent_codes WHERE digest = ?"
        return self._database.one(sql, (_digest(canonical_code(code)),)) is not None

    def close_all(self, practice_id: str) -> None:
        """Delete a practice's open requests."""
        sql = "DELETE FROM ormco_requests WHERE practice_id = ? AND taken_by IS NULL"
        self._database.apply([(sql, (practice_id,))])

    def take(self, state: str) -> bool:
        """Take a request, once; return whether this call has taken it."""
        digest, mark = _digest(state), new_mark()
        take = "UPDATE ormco_requests SET taken_by = ? WHERE state_digest = ? AND taken_by IS NULL"
        self._database.apply([(take, (mark, digest))])
        # Read by the mark: if the response to a commit was lost, the second attempt changes nothing.
        by = "SELECT taken_by FROM ormco_requests WHERE state_digest = ?"
        return bool(self._database.one(by, (digest,)) == (mark,))

    def spend_code(self, code: str) -> bool:
        """Record that a code is about to be sent; return False if any process has recorded it before.

        A code in another percent-encoding is the same code.
        """
        digest, mark, now = _digest(canonical_code(code)), new_mark(), self._database.clock.time()
        spend = (
            "INSERT INTO ormco_spent_codes (digest, spent_at, spent_by) VALUES (?, ?, ?) "
            "ON CONFLICT (digest) DO NOTHING"
        )
        sweep = "DELETE FROM ormco_spent_codes WHERE spent_at < ?", (now - _CODE_SECONDS,)
        self._database.apply([sweep, (spend, (digest, now, mark))])
        by = "SELECT spent_by FROM ormco_spent_codes WHERE digest = ?"
        return bool(self._database.one(by, (digest,)) == (mark,))

    def give_back_code(self, code: str) -> None:
        """Delete the record of a code that was not sent, so that it can still be used."""
        sql = "DELETE FROM ormco_spent_codes WHERE digest = ?"
        self._database.apply([(sql, (_digest(canonical_code(code)),))])

    def give_back(self, state: str) -> None:
        """Reopen a request that was taken, because nothing was sent."""
        sql = "UPDATE ormco_requests SET taken_by = NULL WHERE state_digest = ?"
        self._database.apply([(sql, (_digest(state),))])

    def returned_state(self, provider: str) -> bool:
        """Return whether a provider is known to return the state."""
        sql = "SELECT 1 FROM ormco_providers WHERE provider = ? AND returned_state_at > 0"
        return self._database.one(sql, (provider,)) is not None

    def note_state(self, provider: str, *, returned: bool, by_own_browser: bool) -> None:
        """Store whether a provider returns the state with a valid code.

        A response in our own browser outweighs a pasted one: a person knows the state of their own request,
        and could append it to a response that had none.
        """
        row = self._database.one(
            "SELECT returned_state_at FROM ormco_providers WHERE provider = ?", (provider,)
        )
        known = None if row is None else row[0] > 0
        if known is returned or not (by_own_browser or (returned and known is None)):
            return
        insert = (
            "INSERT INTO ormco_providers (provider, returned_state_at) VALUES (?, ?) ON CONFLICT (provider) "
        )
        outweighs = "DO UPDATE SET returned_state_at = excluded.returned_state_at"
        sql = insert + (outweighs if by_own_browser else "DO NOTHING")
        self._database.apply([(sql, (provider, self._database.clock.time() if returned else 0.0))])

    def _read(self, which: str, *args: object) -> Iterator[AuthorizationRequest]:
        """Yield the requests that match a condition, the newest first."""
        sql = f"SELECT state_digest, sealed FROM ormco_requests WHERE {which} ORDER BY expires_at DESC"  # noqa: S608
        found = self._database.all(sql, args)
        if any(is_first_version(sealed) for _, sealed in found):
            self._keys.ring()  # a process that has the keys reseals them first
            found = self._database.all(sql, args)
        return (self._opened(digest, sealed) for digest, sealed in found)

    def _opened(self, digest: str, sealed: bytes) -> AuthorizationRequest:
        try:
            text = self._keys.open(sealed, request_data(self._database.store_id, digest), row="a request")
            values: dict[str, Any] = json.loads(text)
            del text  # it holds the state, and reporters collect local variables
            return AuthorizationRequest(
                **{**values, "created_at": datetime.fromisoformat(values["created_at"])}
            )
        except (ValueError, TypeError, KeyError) as exc:
            raise StoreDamagedError(
                "a stored authorization request cannot be read",
                hint="Begin again.",
            ) from exc


def request_data(store_id: str, digest: str) -> bytes:
    """Return the associated data of a sealed request."""
    return associated_data(store_id, REQUESTS_TABLE, "sealed", digest)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
