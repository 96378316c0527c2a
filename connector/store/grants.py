"""The rows of grants: read, claimed for a refresh, and changed only in place of what was read.

Two rules keep tokens. A decision is written only on the row it was made from (`version`): whoever is late
reads again and decides again. A new token set is stored in place of the tokens that were sent for it
(`generation`), whatever else has become of the row meanwhile, because nobody else has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from connector.connection import Account, AccountPolicy, ConnectionState, Event
from connector.errors import ConnectionNotFoundError, ConnectorError, StoreDamagedError
from connector.oauth.token_set import TokenSet
from connector.store import first_seals
from connector.store.audit import AuditLog, Guard
from connector.store.database import Database, Execute, Statement
from connector.store.held_token import ASSUMED_LIFETIME, Bound, HeldToken, read_held, sealed_data
from connector.store.process import this_process
from connector.store.row import (
    COLUMNS,
    LIVE,
    SEALED_COLUMNS,
    TABLE,
    UNVERIFIED,
    Row,
    Rows,
    checked_row,
    damaged,
    dump_policy,
    is_practice_id,
    load_policy,
    new_mark,
)
from connector.store.store_keys import StoreKeys

__all__ = ["FromNow", "GrantRecords", "account_columns"]

# A token that is said to live for days is looked at again every hour: perhaps milliseconds were meant.
_LONGEST_TRUSTED, _LONGEST_LOOK = 86400.0, 3600.0
_SETTLE_TRIES = 5


@dataclass(frozen=True, slots=True)
class FromNow:
    """A time, so many seconds from now on the database's clock."""

    seconds: float = 0.0


Changes = Mapping[str, object]


class GrantRecords:
    """Reads and writes the rows of grants.

    Args:
        database: where they are.
        keys: what their tokens are sealed with.
        audit: told what was done, in the same transaction.
        record_refreshes: whether a routine refresh is an event as well.
    """

    def __init__(
        self, database: Database, keys: StoreKeys, audit: AuditLog, *, record_refreshes: bool = False
    ) -> None:
        self._database = database
        self._keys = keys
        self._audit = audit
        self._record_refreshes = record_refreshes

    # --- read
    # ------------------------------------------------------------------------------------------------

    def rows(self, practice_id: str, *, timeout: float | None = None) -> Rows:
        """Return what is stored of a practice.

        Args:
            practice_id: the practice.
            timeout: seconds to wait for a store that is away, if less than usual.
        """
        if not is_practice_id(practice_id):
            return Rows()
        sql = _select_sql(self._database.dialect.now)
        found = self._database.all(sql, (practice_id,), timeout=timeout)
        return Rows.of(map(self.in_newest_form, map(checked_row, found)))

    def held(self, practice_id: str, *, timeout: float | None = None) -> HeldToken | None:
        """Return a practice's valid token; None if anything may have to be done with it first."""
        return read_held(self._database, self._keys, practice_id, timeout=timeout)

    def row(self, practice_id: str, slot: str = LIVE) -> Row | None:
        """Return one row of a practice."""
        rows = self.rows(practice_id)
        return rows.live if slot == LIVE else rows.unverified

    def access_token(self, row: Row) -> str | None:
        """Return a row's access token."""
        return self._open(row, "access_sealed")

    def refresh_token(self, row: Row) -> str | None:
        """Return a row's refresh token."""
        return self._open(row, "refresh_sealed")

    def policy(self, row: Row) -> AccountPolicy:
        """Return which account is acceptable behind an unverified row.

        Opening it proves, too, that the account beside it is the one that was read from the provider.

        Raises:
            connector.errors.StoreDamagedError: if it is gone: without it any account would do.
        """
        text = self._open(row, "policy_sealed")
        if text is None:
            raise damaged(row.practice_id)
        return load_policy(text)

    def overdue(self) -> list[str]:
        """Return the practices whose new account should have been confirmed by now."""
        sql = f"SELECT practice_id FROM {TABLE} WHERE confirm_by <= {self._database.dialect.now} LIMIT 500"  # noqa: S608
        return [row[0] for row in self._database.all(sql, ())]

    # --- refresh
    # ---------------------------------------------------------------------------------------------

    def claim(self, row: Row, seconds: float) -> Row | None:
        """Take the lease on a row as it was read; None if anything about it has changed since.

        The claim is the record that the refresh token is about to be sent, too.
        """
        self._database.make_room()
        is_first, mark = row.refresh_sends == 0 or row.refresh_since is None, new_mark()
        lease: Changes = {
            "refresh_by": this_process(),
            "refresh_since": FromNow() if is_first else row.refresh_since,
            "refresh_until": FromNow(seconds),
            "refresh_sends": row.refresh_sends + 1,
        }
        try:
            return self._change(row, lease, mark=mark)
        except BaseException:
            # It may have been committed: give it back, as nothing is going to be sent.
            with suppress(ConnectorError):
                present = self.row(row.practice_id, row.slot)
                if present is not None and present.version == mark:
                    self.end_lease(present, lost=False)
            raise

    def settle(self, row: Row, tokens: TokenSet, *, rejected: bool = False) -> Row | None:
        """Store a new token set in place of the one that was sent; None if that is not there any more.

        Args:
            row: as it was claimed.
            tokens: the new ones.
            rejected: whether an API had rejected the old access token.
        """
        for _ in range(_SETTLE_TRIES):
            changes = self._settled(row, tokens, rejected=rejected)
            event = self._refreshed_event(row, changes)
            if stored := self._change(row, changes, tokens=tokens, by_tokens=True, events=event):
                return stored
            present = self.row(row.practice_id, row.slot)
            # The wish to revoke may have been recorded meanwhile: then it is the newest pair that has to go.
            if (
                present is None
                or not _is_same_grant(present, row)
                or present.state == ConnectionState.REVOKED
            ):
                return None
            row = present
        return None

    def end_lease(
        self, row: Row, changes: Changes | None = None, *, lost: bool, events: Sequence[Event] = ()
    ) -> Row | None:
        """End a lease without new tokens.

        Args:
            row: as it was claimed.
            changes: what else is to be recorded.
            lost: whether the refresh token may have been used up by this call.
            events: what the audit record says of it.
        """
        claimed = row
        while True:
            sends = row.refresh_sends if lost else max(row.refresh_sends - 1, 0)
            end: Changes = {
                "refresh_by": None,
                "refresh_until": None,
                "refresh_sends": sends,
                "refresh_since": row.refresh_since if sends else None,
            }
            keeps_state = row.state not in (claimed.state, ConnectionState.CONNECTED)
            more = {} if keeps_state else changes or {}
            if stored := self._change(row, {**end, **more}, events=() if keeps_state else events):
                return stored
            present = self.row(row.practice_id, row.slot)
            if present is None or not _is_same_grant(present, claimed):
                return None
            if (present.refresh_by, present.refresh_sends) != (claimed.refresh_by, claimed.refresh_sends):
                return None
            row = present

    # --- change
    # ----------------------------------------------------------------------------------------------

    def put_unverified(
        self, practice_id: str, provider: str, tokens: TokenSet, policy: AccountPolicy, changes: Changes
    ) -> Row:
        """Store a new grant beside what the practice has, in place of an earlier one that was not verified.

        Args:
            practice_id: the practice.
            provider: who granted it.
            tokens: what was granted.
            policy: which account is acceptable.
            changes: further columns, such as `confirm_by`.
        """
        mark, generation = new_mark(), new_mark() >> 20  # so that no late answer takes it for an earlier one
        facts: dict[str, Any] = {
            "practice_id": practice_id,
            "slot": UNVERIFIED,
            "version": mark,
            "generation": generation,
            "state": ConnectionState.DEGRADED.value,
            "since": FromNow(),
            "provider": provider,
            **_token_columns(tokens, self._age(tokens), renews=False),
            **changes,
        }
        bound = Bound(practice_id, UNVERIFIED, generation, facts["state"], None, provider)
        facts |= self._sealed(bound, tokens)
        facts["policy_sealed"] = self._keys.ring().seal(
            dump_policy(policy), sealed_data(self._keys.store_id, bound, "policy_sealed")
        )
        sql, args = _insert(facts, self._database.dialect.now)
        others = [name for name in COLUMNS if name not in ("practice_id", "slot")]
        excluded = ", ".join(f"{name} = excluded.{name}" for name in others)
        self._database.apply([(f"{sql} ON CONFLICT (practice_id, slot) DO UPDATE SET {excluded}", args)])
        row = self.row(practice_id, UNVERIFIED)
        if row is None:
            raise ConnectionNotFoundError(f"{practice_id} was forgotten meanwhile")
        return row

    def change(self, row: Row, changes: Changes, events: Sequence[Event] = ()) -> Row | None:
        """Write a decision on the row that it was made from; None if the row has changed since."""
        return self._change(row, changes, events=events)

    def promote(self, new: Row, live: Row | None, changes: Changes, events: Sequence[Event]) -> Row | None:
        """Make an unverified grant the live one, in one transaction; None if either row has changed since.

        Raises:
            NotUniqueError: the account is another practice's by now.
        """
        mark, now = new_mark(), self._database.dialect.now
        facts: dict[str, Any] = {
            **{name: getattr(new, name) for name in _PROMOTED},
            "slot": LIVE,
            "version": mark,
            "generation": 1 if live is None else live.generation + 1,
            "state": ConnectionState.CONNECTED.value,
            "since": live.since if live and live.state == ConnectionState.CONNECTED else FromNow(),
            "connected_at": FromNow(),
            "due_at": _due(new.valid_until, new.refreshed_at) if new.renewable else None,
            **dict.fromkeys(_CLEARED),
            **changes,
        }
        facts |= {"failures": 0, "refresh_sends": 0}
        access, refresh = self.access_token(new), self.refresh_token(new)
        bound = Bound(
            new.practice_id, LIVE, facts["generation"], facts["state"], facts["account_id"], new.provider
        )
        facts |= {
            "access_sealed": self._seal(bound, "access_sealed", access),
            "refresh_sealed": self._seal(bound, "refresh_sealed", refresh),
        }
        del access, refresh
        is_new = Guard(_EXISTS, (new.practice_id, UNVERIFIED, new.version))
        if live is None:
            sql, args = _insert(facts, now, guard=is_new)
            first: Statement = (f"{sql} ON CONFLICT (practice_id, slot) DO NOTHING", args)
        else:
            sets, values = _assignments(facts, now)
            where = f"practice_id = ? AND slot = ? AND version = ? AND {is_new.sql}"
            first = (
                f"UPDATE {TABLE} SET {sets} WHERE {where}",  # noqa: S608
                (*values, live.practice_id, LIVE, live.version, *is_new.args),
            )
        is_done = Guard(_EXISTS, (new.practice_id, LIVE, mark))
        named = self._audit.named(events)
        delete = f"DELETE FROM {TABLE} WHERE practice_id = ? AND slot = ? AND version = ? AND {_EXISTS}"  # noqa: S608
        gone: Statement = (delete, (new.practice_id, UNVERIFIED, new.version, *is_done.args))
        self._database.apply([first, gone, *self._audit.statements(named, is_done)])
        row = self.row(new.practice_id)
        if row is None or row.version != mark:
            return None
        self._audit.tell(named)
        return row

    def drop(self, row: Row, events: Sequence[Event]) -> bool:
        """Delete a row as it was read; return False if it has changed since."""
        named = self._audit.named(events)
        sql = f"DELETE FROM {TABLE} WHERE practice_id = ? AND slot = ? AND version = ?"  # noqa: S608

        def work(execute: Execute) -> bool:
            if not execute(sql, (row.practice_id, row.slot, row.version)).rowcount:
                return False
            for statement in self._audit.statements(named, Guard()):
                execute(*statement)
            return True

        is_done = self._database.transact(work) or self.row(row.practice_id, row.slot) is None
        if is_done:
            self._audit.tell(named)
        return is_done

    # --- how
    # -------------------------------------------------------------------------------------------------

    def _change(
        self,
        row: Row,
        changes: Changes,
        *,
        tokens: TokenSet | None = None,
        by_tokens: bool = False,
        events: Sequence[Event] = (),
        mark: int | None = None,
    ) -> Row | None:
        mark, now = mark or new_mark(), self._database.dialect.now
        values: dict[str, object] = {**changes, "version": mark}
        bound = _bound(row, values)
        if tokens is not None:
            values |= self._sealed(bound, tokens)
        if bound != _bound(row, {}):
            values |= self._sealed_anew(row, bound, values)
        sets, args = _assignments(values, now)
        where, which = _where(row, by_tokens=by_tokens)
        done = Guard(_EXISTS, (row.practice_id, values.get("slot", row.slot), mark))
        update: Statement = (f"UPDATE {TABLE} SET {sets} WHERE {where}", (*args, *which))  # noqa: S608
        named = self._audit.named(events) if events else []
        more = self._audit.statements(named, done) if named else []
        count = self._database.apply([update, *more])[0]
        # A commit whose answer was lost is tried again, and changes nothing then: its mark tells.
        if not count and not self._database.one(f"SELECT 1 WHERE {_EXISTS}", done.args):
            return None
        if named:
            self._audit.tell(named)
        for name, value in values.items():
            if isinstance(value, FromNow):
                values[name] = row.now + value.seconds
        return row._replace(**values)  # type: ignore[arg-type]

    def _settled(self, row: Row, tokens: TokenSet, *, rejected: bool) -> dict[str, object]:
        """Return the columns of a row with new tokens, but for what is sealed."""
        becomes_connected = row.slot == LIVE and row.state != ConnectionState.REVOKING
        state = ConnectionState.CONNECTED.value if becomes_connected else row.state
        changes: dict[str, object] = {
            **_token_columns(tokens, self._age(tokens), renews=becomes_connected),
            "generation": row.generation + 1,
            "state": state,
            "since": row.since if state == row.state else FromNow(),
            "reason": None if becomes_connected else row.reason,
            "last_error": None,
            "scope": tokens.scope or row.scope,
            "refresh_count": row.refresh_count + 1,
            "rejected_generation": row.generation + 1 if rejected else None,
            "failures": 0,
            "refresh_sends": 0,
        }
        return changes | dict.fromkeys(("refresh_by", "refresh_since", "refresh_until", "retry_at"))

    def _refreshed_event(self, row: Row, changes: Changes) -> list[Event]:
        """Return the event of a refresh that ends a failure; routine is counted in the row."""
        state = str(changes["state"])
        if row.slot == UNVERIFIED or (state == row.state and not self._record_refreshes):
            return []
        return [
            Event(
                at=self._database.clock.utc_now(),
                kind="refresh",
                outcome="ok",
                practice_id=row.practice_id,
                state=ConnectionState(state),
                detail={"generation": str(row.generation + 1)},
            )
        ]

    def _age(self, tokens: TokenSet) -> float:
        """Return how long ago tokens were received: the store may have been away since."""
        return max(0.0, self._database.clock.time() - tokens.received_at.timestamp())

    def _sealed(self, bound: Bound, tokens: TokenSet) -> dict[str, object]:
        return {
            "access_sealed": self._seal(bound, "access_sealed", tokens.access_token),
            "refresh_sealed": self._seal(bound, "refresh_sealed", tokens.refresh_token),
        }

    def _sealed_anew(self, row: Row, bound: Bound, values: Changes) -> dict[str, object]:
        """Seal what a row holds for what will stand beside it."""
        sealed: dict[str, object] = {}
        for column in SEALED_COLUMNS:
            if getattr(row, column) is not None and column not in values:
                sealed[column] = self._seal(bound, column, self._open(row, column))
        return sealed

    def _seal(self, bound: Bound, column: str, text: str | None) -> bytes | None:
        if text is None:
            return None
        return self._keys.ring().seal(text, sealed_data(self._keys.store_id, bound, column))

    def _open(self, row: Row, column: str) -> str | None:
        sealed: bytes | None = getattr(row, column)
        if sealed is None:
            return None
        return self._keys.open(sealed, sealed_data(self._keys.store_id, row, column), row=row.practice_id)

    def in_newest_form(self, row: Row) -> Row:
        """Seal anew what an earlier release has sealed; what it was bound to says too little."""
        if not first_seals.has_any(row):
            return row
        self._keys.ring()
        if not self._keys.accepts_first:
            self._keys.forget()  # another process may have found that nothing of that form is left
            self._keys.ring()
            raise StoreDamagedError(
                f"a sealed value of {row.practice_id} has a form that is not in use any more",
                hint="Somebody may have put an old row back. Forget the practice, and connect it again.",
            )
        contents = self._keys.opened(lambda ring: first_seals.opened(row, ring))
        bound = _bound(row, contents.columns)
        sealed = {column: self._seal(bound, column, text) for column, text in contents.sealed.items()}
        del contents.sealed
        return self._change(row, {**contents.columns, **sealed}) or self._reread(row)

    def _reread(self, row: Row) -> Row:
        present = self.row(row.practice_id, row.slot)
        if present is None:
            raise ConnectionNotFoundError(f"{row.practice_id} was forgotten meanwhile")
        return present


def _bound(row: Row, changes: Mapping[str, Any]) -> Bound:
    """Return what a row's sealed values are bound to once it has been changed."""
    return Bound(
        row.practice_id,
        row.slot,
        changes.get("generation", row.generation),
        changes.get("state", row.state),
        changes.get("account_id", row.account_id),
        changes.get("provider", row.provider),
        changes.get("account_email", row.account_email),
        changes.get("account_name", row.account_name),
    )


def account_columns(account: Account | None) -> dict[str, object]:
    """Return the columns of an account."""
    return {
        "account_id": account and account.id,
        "account_email": account and account.email,
        "account_name": account and account.name,
        "account_region": account and account.region,
    }


_EXISTS = (
    f"EXISTS (SELECT 1 FROM {TABLE} mark WHERE mark.practice_id = ? AND mark.slot = ? AND mark.version = ?)"  # noqa: S608
)
_PROMOTED = (
    "practice_id",
    "expires_at",
    "refreshed_at",
    "renewable",
    "with_secret",
    "provider",
    "scope",
    "account_id",
    "account_email",
    "account_name",
    "account_region",
)
_CLEARED = (
    "retry_at",
    "refresh_by",
    "refresh_since",
    "refresh_until",
    "rejected_generation",
    "reason",
    "last_error",
)


@lru_cache
def _select_sql(now: str) -> str:
    return f"SELECT {', '.join(COLUMNS)}, {now} FROM {TABLE} WHERE practice_id = ?"  # noqa: S608


def _is_same_grant(present: Row, row: Row) -> bool:
    return (present.generation, present.connected_at) == (row.generation, row.connected_at)


def _where(row: Row, *, by_tokens: bool) -> tuple[str, tuple[object, ...]]:
    key = (row.practice_id, row.slot)
    if not by_tokens:
        return "practice_id = ? AND slot = ? AND version = ?", (*key, row.version)
    # All that the new tokens are sealed for, and that they are this grant's: a practice may be forgotten, and
    # connected anew, while a call is under way.
    return (
        "practice_id = ? AND slot = ? AND generation = ? AND state = ? AND provider = ? "
        "AND COALESCE(account_id, '') = ? AND COALESCE(connected_at, 0) = ?",
        (*key, row.generation, row.state, row.provider, row.account_id or "", row.connected_at or 0.0),
    )


def _assignments(values: Changes, now: str) -> tuple[str, list[object]]:
    sets, args = list[str](), list[object]()
    for name, value in values.items():
        if isinstance(value, FromNow):
            sets.append(f"{name} = {now} + ?")
            args.append(value.seconds)
        else:
            sets.append(f"{name} = ?")
            args.append(value)
    return ", ".join(sets), args


def _insert(values: Changes, now: str, *, guard: Guard | None = None) -> Statement:
    given = {name: value for name, value in values.items() if value is not None}
    marks = ", ".join(f"{now} + ?" if isinstance(value, FromNow) else "?" for value in given.values())
    args = [value.seconds if isinstance(value, FromNow) else value for value in given.values()]
    condition = guard or Guard()
    sql = f"INSERT INTO {TABLE} ({', '.join(given)}) SELECT {marks} WHERE {condition.sql}"
    return sql, (*args, *condition.args)


def _token_columns(tokens: TokenSet, age: float, *, renews: bool) -> dict[str, object]:
    lifetime = None if tokens.expires_at is None else (tokens.expires_at - tokens.received_at).total_seconds()
    lives = ASSUMED_LIFETIME if lifetime is None else lifetime
    due = _LONGEST_LOOK if lives > _LONGEST_TRUSTED else lives
    return {
        "refreshed_at": FromNow(-age),
        "expires_at": None if lifetime is None else FromNow(lifetime - age),
        "due_at": FromNow(due - age) if renews and tokens.refresh_token is not None else None,
        "renewable": int(tokens.refresh_token is not None),
        "scope": tokens.scope,
    }


def _due(valid_until: float, received_at: float | None) -> float:
    received = received_at or 0.0
    return received + _LONGEST_LOOK if valid_until - received > _LONGEST_TRUSTED else valid_until
