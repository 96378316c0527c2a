"""The rows of grants: claimed once, settled whatever has become of them, changed only as they were read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from connector.connection import Account, AccountPolicy, ConnectionState, Event
from connector.errors import StoreDamagedError
from connector.store.columns import FromNow, account_columns
from connector.store.database import NotUniqueError, Statement
from connector.store.row import UNVERIFIED, Row
from connector.store.store import Store
from tests.support.stores import KINDS, put, put_unverified, row_of, store_at, token_set, value_of
from tests.support.threads import at_once

LEASE = 60.0

pytestmark = pytest.mark.parametrize("url", KINDS, indirect=True)


def event(store: Store, kind: str = "revoke") -> Event:
    return Event(at=store.clock.utc_now(), kind=kind, outcome="ok", practice_id="p")


def kinds(store: Store) -> list[str]:
    return [entry.kind for entry in store.audit.events()]


def claim(store: Store, *, age: float = 0.0, seconds: float = LEASE) -> Row:
    row = store.leases.claim(put(store, "p", age=age), seconds)
    assert row is not None
    return row


def test_claim_is_for_one(store: Store) -> None:
    """Of all that have read the same row, at the same time or later, one gets the lease."""
    row = put(store, "p")
    claims = at_once(12, lambda number: store.leases.claim(row, LEASE))
    assert sum(claim is not None for claim in claims) == 1
    assert store.leases.claim(row, LEASE) is None
    assert row_of(store, "p").is_leased
    assert not row_of(store, "p").answer_may_be_lost


def test_lease_that_has_ended(store: Store) -> None:
    """A lease that ended without a settle shows that a response may be lost, and can be claimed."""
    claim(store, seconds=-1.0)
    row = row_of(store, "p")
    assert not row.is_leased
    assert row.answer_may_be_lost
    again = store.leases.claim(row, LEASE)
    assert again is not None
    assert again.refresh_sends == 2
    assert again.refresh_since == row.refresh_since


def test_lease_of_a_dead_process(store: Store) -> None:
    """A lease ends with its owner, if that was a process of this machine."""
    claimed = claim(store)
    host = (claimed.refresh_by or "").rsplit(" ", 2)[0]
    store.grants.change(claimed, {"refresh_by": f"{host} 999999999 1"})
    assert not row_of(store, "p").is_leased
    store.grants.change(row_of(store, "p"), {"refresh_by": "another-host 999999999 1"})
    assert row_of(store, "p").is_leased


@pytest.mark.parametrize("ahead", [86_400.0, 86_400.0 * 365 * 80])
def test_times_from_a_wrong_clock(store: Store, ahead: float) -> None:
    """Times that were stored while a clock was ahead are not trusted later: of token, lease and backoff."""
    row = put(store, "p", refreshed_at=FromNow(ahead), expires_at=FromNow(ahead + 3600))
    assert not row.lasts()
    waiting = store.grants.change(row, {"retry_at": FromNow(ahead)})
    assert waiting is not None
    assert waiting.retry_in == 0
    leased = {
        "refresh_by": "another 1 2",
        "refresh_since": FromNow(ahead),
        "refresh_until": FromNow(ahead + 60),
    }
    assert store.grants.change(waiting, leased)
    assert not row_of(store, "p").is_leased


def test_settle_replaces_the_tokens_that_were_sent(store: Store) -> None:
    """New tokens are stored, counted, and end the lease; a routine refresh is no event."""
    claimed = claim(store, age=3000)
    assert store.leases.settle(claimed, token_set("p", number=1))
    row = row_of(store, "p")
    assert value_of(store, "p") == ("at-p-1", "rt-p-1")
    assert (row.generation, row.refresh_count, row.refresh_by, row.refresh_sends) == (2, 1, None, 0)
    assert row.lasts(3000)
    assert kinds(store) == []


def test_settle_is_an_event_if_that_is_set(url: str) -> None:
    """A setting records every refresh."""
    store = store_at(url, record_refreshes=True)
    store.leases.settle(put(store, "p"), token_set("p", number=1))
    assert kinds(store) == ["refresh"]


ACTIVE_LAB = {"lab_state": "active", "lab_email": "lab@ormco.test"}


@pytest.mark.parametrize(
    ("change", "after", "recorded"),
    [
        ({"state": "degraded", "reason": "answer_lost"}, {"state": "connected", "reason": None}, ["refresh"]),
        (
            {"state": "needs_repair", "reason": "answer_lost"},
            {"state": "connected", "reason": None},
            ["refresh"],
        ),
        ({"state": "revoking"}, {"state": "revoking"}, []),
        (ACTIVE_LAB, ACTIVE_LAB, []),
    ],
    ids=["degraded", "needs repair", "revoking", "lab"],
)
def test_settle_of_a_row_that_others_changed(
    store: Store, change: dict[str, object], after: dict[str, object], recorded: list[str]
) -> None:
    """New tokens are stored; they end a failure, which is an event, but no revocation, and keep the lab."""
    claimed = claim(store)
    assert store.grants.change(claimed, change)
    assert store.leases.settle(claimed, token_set("p", number=1))
    assert {name: getattr(row_of(store, "p"), name) for name in after} == after
    assert value_of(store, "p") == ("at-p-1", "rt-p-1")
    assert kinds(store) == recorded


def test_settle_succeeds_beside_other_writers(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New tokens are stored however often others write to the row: they exist nowhere else."""
    claimed = claim(store)
    other, writes, apply = store_at(url), list(range(8)), store.database.apply

    def interrupted(statements: Sequence[Statement]) -> list[int]:
        if writes:
            assert other.grants.change(row_of(other, "p"), {"failures": writes.pop()})
        return apply(statements)

    monkeypatch.setattr(store.database, "apply", interrupted)
    assert store.leases.settle(claimed, token_set("p", number=1))
    assert value_of(other, "p") == ("at-p-1", "rt-p-1")


def test_settle_of_a_grant_that_is_not_verified(store: Store) -> None:
    """New tokens of an unverified grant leave it unverified, with the same account policy."""
    new = put_unverified(store, "p", policy=AccountPolicy(expected_account="dr@practice.test"))
    assert store.leases.settle(new, token_set("p", number=1))
    assert value_of(store, "p", slot=UNVERIFIED) == ("at-p-1", "rt-p-1")
    waiting = store.grants.row("p", UNVERIFIED)
    assert waiting is not None
    assert waiting.state == "degraded"
    assert store.grants.policy(waiting).expected_account == "dr@practice.test"


def revoked(store: Store) -> None:
    gone = {"state": "revoked", "access_sealed": None, "refresh_sealed": None}
    assert store.grants.change(row_of(store, "p"), gone)


def refreshed(store: Store) -> None:
    assert store.leases.settle(row_of(store, "p"), token_set("p", number=7))


def connected_again(store: Store) -> None:
    put(store, "p", tokens=token_set("p", number=7))


def forgotten(store: Store) -> None:
    store.forget("p", event(store, "forget"))


def forgotten_and_connected(store: Store) -> None:
    forgotten(store)
    put(store, "p", tokens=token_set("p", number=7))


NEWER = ("at-p-7", "rt-p-7")


@pytest.mark.parametrize(
    ("change", "after"),
    [
        *((refreshed, NEWER), (connected_again, NEWER), (forgotten_and_connected, NEWER)),
        *((revoked, (None, None)), (forgotten, None)),
    ],
)
def test_late_tokens_replace_nothing(store: Store, change: Callable[[Store], None], after: object) -> None:
    """They replace no newer tokens nor those of another grant, undo no revocation, and store no practice."""
    claimed = claim(store)
    change(store)
    assert store.leases.settle(claimed, token_set("p", number=1)) is None
    assert (value_of(store, "p") if store.connection("p") else None) == after


@pytest.mark.parametrize(("lost", "sends"), [(False, 0), (True, 1)])
def test_end_lease(store: Store, lost: bool, sends: int) -> None:
    """A failed call ends its lease, and records whether the refresh token may be used up."""
    claimed = claim(store)
    failed = {"failures": 1, "retry_at": FromNow(5), "state": "degraded"}
    assert store.leases.end(claimed, failed, lost=lost)
    row = row_of(store, "p")
    assert (row.refresh_by, row.refresh_sends, row.failures, row.state) == (None, sends, 1, "degraded")
    assert row.answer_may_be_lost is lost
    assert 0 < row.retry_in <= 5


def test_end_lease_does_not_undo_what_others_decided(store: Store) -> None:
    """A failure that is recorded late changes no revocation, newer tokens or lease of another."""
    claimed = claim(store)
    store.grants.change(claimed, {"state": "revoking"})
    store.leases.end(claimed, {"state": "degraded"}, lost=False, events=[event(store)])
    assert (row_of(store, "p").state, row_of(store, "p").refresh_by) == ("revoking", None)
    assert kinds(store) == []
    refreshed(store)
    assert store.leases.end(claimed, {"state": "degraded"}, lost=False) is None


def test_claim_that_is_interrupted_is_given_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C right after the claim was committed: nothing was sent, so the lease is given back."""
    row, apply = put(store, "p"), store.database.apply

    def interrupted(statements: Any) -> None:
        monkeypatch.undo()
        apply(statements)
        raise KeyboardInterrupt

    monkeypatch.setattr(store.database, "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.leases.claim(row, LEASE)
    assert (row_of(store, "p").refresh_by, row_of(store, "p").refresh_sends) == (None, 0)


def test_end_lease_that_another_has_taken_over(store: Store) -> None:
    """A process that slept until another took the lease does not end the other's."""
    claimed = claim(store)
    assert store.leases.claim(row_of(store, "p"), LEASE)
    assert store.leases.end(claimed, {"state": "degraded"}, lost=False, events=[event(store)]) is None
    assert row_of(store, "p").is_leased
    assert (row_of(store, "p").refresh_sends, row_of(store, "p").state, kinds(store)) == (2, "connected", [])


def test_change_only_of_the_row_that_was_read(store: Store) -> None:
    """A decision that was made from an older row is not written, nor are its events."""
    row = put(store, "p")
    assert store.grants.change(row, {"reason": "first"}, [event(store, "lab")])
    assert store.grants.change(row, {"reason": "second"}, [event(store)]) is None
    assert row_of(store, "p").reason == "first"
    assert kinds(store) == ["lab"]


def test_state_account_and_provider_are_sealed_in(store: Store) -> None:
    """The tokens of a row do not open if a fact that they are bound to was edited."""
    for column, value in (
        ("state", "degraded"),
        ("account_id", "another"),
        ("provider", "another"),
        ("generation", 7),
        ("practice_id", "q"),
        ("slot", UNVERIFIED),
    ):
        row = put(store, "p")._replace(**{column: value})  # type: ignore[arg-type]
        with pytest.raises(StoreDamagedError):
            store.grants.access_token(row)
        with pytest.raises(StoreDamagedError):
            store.grants.refresh_token(row)


def test_tokens_of_another_store_or_time(url: str, store: Store) -> None:
    """Sealed values of an earlier token set, or of another store with the same key, do not open."""
    older = put(store, "p")
    store.leases.settle(older, token_set("p", number=1))
    replayed = row_of(store, "p")._replace(access_sealed=older.access_sealed)
    with pytest.raises(StoreDamagedError):
        store.grants.access_token(replayed)
    store.database.apply([("UPDATE ormco_store SET store_id = 'another', key_proof = NULL", ())])
    other = store_at(url)
    with pytest.raises(StoreDamagedError):
        other.grants.access_token(row_of(other, "p"))


def test_a_policy_beside_a_live_grant_stops_no_new_tokens(store: Store) -> None:
    """Whatever is written where a live grant has nothing, the tokens of its next refresh are stored."""
    put(store, "p")
    store.database.apply([("UPDATE ormco_connections SET policy_sealed = ?", (b"not sealed",))])
    assert store.leases.settle(row_of(store, "p"), token_set("p", number=1)) is not None
    assert value_of(store, "p") == ("at-p-1", "rt-p-1")


def test_promote_makes_a_new_grant_live(store: Store) -> None:
    """The new tokens replace the old ones in one step; the practice keeps its history."""
    put(store, "p", lab_state="active")
    new = put_unverified(store, "p", tokens=token_set("p", number=5), policy=AccountPolicy(to_confirm=True))
    assert store.grants.policy(new).to_confirm
    account = Account(id="u-1", email="dr@practice.test", region="europe")
    changes = account_columns(account) | {"account_shared": 0}
    promoted = store.grants.promote(new, row_of(store, "p"), changes, [event(store, "complete")])
    assert promoted is not None
    assert (promoted.generation, promoted.account, promoted.lab_state) == (2, account, "active")
    assert value_of(store, "p") == ("at-p-5", "rt-p-5")
    assert store.grants.row("p", UNVERIFIED) is None
    assert kinds(store) == ["complete"]


def test_promote_only_the_rows_that_were_read(store: Store) -> None:
    """If either row has changed meanwhile, nothing is promoted, and nothing is lost."""
    live = put(store, "p")
    new = put_unverified(store, "p")
    refreshed(store)
    assert store.grants.promote(new, live, {"account_shared": 0}, [event(store)]) is None
    newer = put_unverified(store, "p", tokens=token_set("p", number=9))
    assert store.grants.promote(new, row_of(store, "p"), {"account_shared": 0}, [event(store)]) is None
    assert store.grants.promote(new, None, {"account_shared": 0}, [event(store)]) is None
    assert value_of(store, "p") == ("at-p-7", "rt-p-7")
    waiting = store.grants.row("p", UNVERIFIED)
    assert waiting is not None
    assert waiting.version == newer.version
    assert kinds(store) == []


def test_one_account_belongs_to_one_practice(store: Store) -> None:
    """Of two practices that are connected to one account at once, one succeeds, unless sharing is allowed."""
    account = Account(id="u-1")
    new = [put_unverified(store, name) for name in ("p", "q", "r")]
    alone = account_columns(account) | {"account_shared": 0}
    assert store.grants.promote(new[0], None, alone, [])
    with pytest.raises(NotUniqueError):
        store.grants.promote(new[1], None, alone, [])
    assert store.grants.promote(new[2], None, alone | {"account_shared": 1}, [])
    assert store.practices_of_account("test", "u-1") == ["p", "r"]
    for found in (("test", "u-2"), ("another", "u-1")):
        assert store.practices_of_account(*found) == []
    revoked(store)
    assert store.grants.promote(new[1], None, alone, [])


def test_drop_only_the_grant_that_was_read(store: Store) -> None:
    """A new grant is dropped with its event, unless a newer one has replaced it."""
    old = put_unverified(store, "p")
    new = put_unverified(store, "p", tokens=token_set("p", number=1))
    assert not store.grants.drop(old, [event(store)])
    assert store.grants.drop(new, [event(store, "complete")])
    assert kinds(store) == ["complete"]
    assert store.connection("p") is None


def test_practice_with_only_an_unverified_grant_is_listed(store: Store) -> None:
    """A practice whose first grant waits for its account is listed, and needs attention."""
    put_unverified(store, "p", reason="account_unread")
    connection = store.connection("p")
    assert connection is not None
    assert (connection.state, connection.reason) == (ConnectionState.DEGRADED, "account_unread")
    assert [found.practice_id for found in store.overview.connections(needs_attention=True)] == ["p"]


def test_overdue_confirmations(store: Store) -> None:
    """Grants that were not confirmed in time are found."""
    put_unverified(store, "p", confirm_by=FromNow(-1))
    put_unverified(store, "q", confirm_by=FromNow(60))
    assert store.grants.overdue() == ["p"]
    assert store.overview.summary().unconfirmed == 2
