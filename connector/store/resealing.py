"""Seal again all values that do not have the newest form and key, while others read and write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from connector.connection import AccountPolicy
from connector.errors import StoreError
from connector.store.columns import dump_policy
from connector.store.database import TABLE, Database, Statement
from connector.store.owners import new_mark
from connector.store.requests import REQUESTS_TABLE, request_data
from connector.store.row import LIVE, Row, checked_row, damaged, select_rows
from connector.store.sealing import (
    SEALED_COLUMNS,
    KeyRing,
    bound_to,
    first_associated_data,
    has_first_form,
    is_first_version,
    is_sealed_by,
    sealed_data,
)

__all__ = ["Resealing"]

_PAGE = 200


# The texts to seal again, by column, and the values of other columns that change with them.
_Contents = tuple[dict[str, str | None], dict[str, Any]]


class Resealing:
    """One pass over all sealed values.

    Attributes:
        done: the number of values that were sealed again.
        broken: the practices whose values do not open.
    """

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        store_id: str,
        progress: Callable[[int], object] = lambda done: None,
    ) -> None:
        self._database = database
        self._ring = ring
        self._store_id = store_id
        self._progress = progress
        self.done: int = 0
        self.broken: set[str] = set()

    def run(self) -> None:
        """Repeat until no value has an old key: other processes may change a row, or still use that key."""
        is_left = True
        while is_left:
            is_left = False
            for page in self._pages():
                is_left = True
                counts = self._database.apply([statement for statement, _ in page])
                self.done += sum(count * values for count, (_, values) in zip(counts, page, strict=True))
                self._progress(self.done)

    def _pages(self) -> Iterator[list[tuple[Statement, int]]]:
        """Yield pages of statements, each with the number of values that it seals.

        A statement changes only an unchanged row; a row that has changed meanwhile is read again.
        """
        last = ("", "")
        select = select_rows(self._database.dialect.now)
        sql = f"{select} WHERE (practice_id, slot) > (?, ?) ORDER BY practice_id, slot LIMIT ?"
        while found := self._database.all(sql, (*last, _PAGE)):
            last = found[-1][:2]
            if page := [each for row in found if (each := self._row(Row._make(row)))]:
                yield page
        requests = self._database.all("SELECT state_digest, sealed FROM ormco_requests", ())
        if page := [each for digest, sealed in requests if (each := self._request(digest, sealed))]:
            yield page

    def _row(self, row: Row) -> tuple[Statement, int] | None:
        try:
            texts, values = self._contents(checked_row(row))
            bound = bound_to(row, values)
            for column, text in texts.items():
                data = sealed_data(self._store_id, bound, column)
                values[column] = None if text is None else self._ring.seal(text, data)
        except StoreError:
            self.broken.add(row.practice_id)
            return None
        if not values:
            return None
        sets = ", ".join(f"{name} = ?" for name in values)
        sql = f"UPDATE {TABLE} SET {sets} WHERE practice_id = ? AND slot = ? AND version = ?"  # noqa: S608
        return (sql, (*values.values(), row.practice_id, row.slot, row.version)), len(texts)

    def _contents(self, row: Row) -> _Contents:
        """Return the values of a row that have to be sealed again."""
        if has_first_form([row]):
            texts, others = _opened(row, self._ring)
            return texts, {**others, "version": new_mark()}
        texts = {}
        for column in SEALED_COLUMNS:
            sealed = getattr(row, column)
            if sealed is not None and not is_sealed_by(sealed, self._ring):
                data = sealed_data(self._store_id, row, column)
                texts[column] = self._ring.open(sealed, data, row=row.practice_id)
        return texts, {}

    def _request(self, digest: str, old: bytes) -> tuple[Statement, int] | None:
        if is_sealed_by(old, self._ring):
            return None
        data = request_data(self._store_id, digest)
        before = first_associated_data(REQUESTS_TABLE, "sealed", digest) if is_first_version(old) else data
        try:
            new = self._ring.seal(self._ring.open(old, before, row="a request"), data)
        except StoreError:
            self.broken.add("a request")
            return None
        sql = "UPDATE ormco_requests SET sealed = ? WHERE state_digest = ? AND sealed = ?"
        return (sql, (new, digest, old)), 1


def _opened(row: Row, ring: KeyRing) -> _Contents:
    """Return the values of a row that an early release has sealed.

    Raises:
        connector.errors.StoreDamagedError: if a value was changed.
    """

    def read(column: str, first_column: str) -> str | None:
        sealed = getattr(row, column)
        if sealed is None:
            return None
        if not is_first_version(sealed):
            raise damaged(row.practice_id)
        data = first_associated_data(TABLE, first_column, row.practice_id)
        return ring.open(sealed, data, row=row.practice_id)

    try:
        if row.slot == LIVE:
            access, rest = read("access_sealed", "access_token"), read("refresh_sealed", "token_rest")
            refresh = None if rest is None else json.loads(rest)["refresh_token"]
            return {"access_sealed": access, "refresh_sealed": refresh}, {}
        return _unverified(json.loads(read("policy_sealed", "unproven") or "null"))
    except (ValueError, TypeError, KeyError):
        raise damaged(row.practice_id) from None


def _unverified(waiting: dict[str, Any]) -> _Contents:
    tokens, account = waiting["tokens"], waiting.get("account") or {}
    policy = AccountPolicy(
        expected_account=waiting["expected_account"],
        allow_account_change=waiting["allow_account_change"],
        to_confirm=waiting.get("to_confirm", False),
        binding=waiting.get("binding"),
    )
    texts = {
        "access_sealed": waiting["access_token"],
        "refresh_sealed": tokens["refresh_token"],
        "policy_sealed": dump_policy(policy),
    }
    return texts, {
        "refreshed_at": tokens["received_at"],
        "expires_at": tokens["expires_at"],
        "scope": tokens["scope"],
        "renewable": int(tokens["refresh_token"] is not None),
        "refresh_sends": int(waiting.get("sent", False)),
        **{f"account_{name}": account.get(name) for name in ("id", "email", "name", "region") if account},
    }
