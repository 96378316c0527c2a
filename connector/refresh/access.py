"""An access token that is valid now: from memory, from the store, from another's refresh, or from our own."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector.clock import Clock, from_timestamp
from connector.connection import AccessToken, Connection, ConnectionState, not_found, require_alive
from connector.errors import (
    AccountMismatchError,
    AccountUnconfirmedError,
    ConfigurationError,
    ConnectorError,
    GrantRefusedError,
    NeedsRepairError,
    ProviderUnavailableError,
    StoreLockedError,
    StoreUnavailableError,
)
from connector.refresh.keyed_lock import KeyedLock
from connector.refresh.rotate import Rotator
from connector.refresh.schedule import (
    WAIT_SECONDS,
    poll_delay,
    refresh_time,
)
from connector.store.held_token import HeldToken
from connector.store.row import Row, Rows, damaged
from connector.store.store import Store

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["AccessTokens"]

_LOG = logging.getLogger("connector")
# How long a token is handed out without a look at the store; what others revoke is heard of by then.
_RECHECK_SECONDS = 2.0
# How long a look may take while the token in memory is valid: the store may be away.
_RECHECK_WITHIN = 0.5
_LARGEST_CACHE = 50_000
_PROACTIVE_THREADS = 4
_LOUD_FAILURES = 3
# A token that was renewed because an API had rejected the one before is not renewed for that again so soon.
_JUST_RENEWED_SECONDS = 900.0


@dataclass(slots=True)
class CachedToken:
    """A token in memory; times by this process's clock."""

    value: str = field(repr=False)
    generation: int
    read_at: float
    check_at: float
    refresh_at: float
    expires_at: float
    spared_until: float = 0.0  # it could not be renewed: it is used without another attempt until then

    @property
    def token(self) -> AccessToken:
        return AccessToken(
            value=self.value,
            expires_at=from_timestamp(self.expires_at),
            refresh_at=from_timestamp(self.refresh_at),
        )


class AccessTokens:
    """Hands out access tokens and keeps them fresh.

    Args:
        store: where the tokens are.
        rotator: gets new ones.
        clock: the time.
        verify: reads the account behind a practice's unverified grant, and makes it the live one.
        proactive: refresh tokens in the background when their end is near; a program that runs once need not.
    """

    def __init__(
        self,
        store: Store,
        rotator: Rotator,
        clock: Clock,
        *,
        verify: Callable[[str], object] | None = None,
        proactive: bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._now = clock.time
        self._verify = verify
        self._proactive = proactive
        self._rotator = rotator
        self._is_closed = False
        self._when_idle: Callable[[], object] | None = None
        self._start()
        if hasattr(os, "register_at_fork"):  # not on Windows
            start = weakref.WeakMethod(self._start)
            os.register_at_fork(after_in_child=lambda: (method := start()) and method())

    def _start(self) -> None:
        self._cache: dict[str, CachedToken] = {}
        self._guard = threading.Lock()  # of what is under way in the background, and of its pool
        self._locks = KeyedLock()
        self._pending: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._pool: ThreadPoolExecutor | None = None

    def cached(self, practice_id: str, min_ttl: float) -> CachedToken | None:
        """Return the token in memory if it is valid and was looked at lately; never waits."""
        cached = self._cache.get(practice_id)
        if cached is not None:
            now = self._now()
            if cached.read_at <= now < cached.check_at and now + min_ttl <= cached.expires_at:
                return cached
        return None

    def access_token(self, practice_id: str, *, min_ttl: float = 60.0, rejected: str | None = None) -> str:
        """Return the value of `token`."""
        cached = self.cached(practice_id, min_ttl) if rejected is None else None
        return (cached or self._looked_up(practice_id, min_ttl, rejected)).value

    def token(self, practice_id: str, *, min_ttl: float = 60.0, rejected: str | None = None) -> AccessToken:
        """Return an access token that is valid now.

        Args:
            practice_id: the practice.
            min_ttl: seconds it has to live on, at most half of its life; one that was just refreshed is
                returned as it is.
            rejected: a token that an API has answered 401 to; it is renewed if it is still the present one.

        Raises:
            connector.errors.ConnectionNotFoundError: there is no connection.
            connector.errors.NeedsRepairError: the grant is dead.
            connector.errors.RevokedError: it was revoked here.
            connector.errors.ProviderUnavailableError: it ended, and there is no other now; or an API
                rejects a token that was just renewed for that.
        """
        cached = self.cached(practice_id, min_ttl) if rejected is None else None
        return (cached or self._looked_up(practice_id, min_ttl, rejected)).token

    def refresh(self, practice_id: str, *, force: bool = False) -> Connection:
        """Refresh a connection whose access token is near its end.

        Args:
            practice_id: the practice.
            force: also if the token is still good, and without waiting for a backoff; if another refreshes it
                meanwhile, that will do.

        Raises:
            connector.errors.ConnectorError: as `token` does.
        """
        self._refuse_if_closed()
        rows = self._usable(practice_id, self._store.grants.rows(practice_id))
        near = rows.live is None or self._now() >= self._remember(practice_id, rows.live).refresh_at
        if force or near or self._awaits_account(rows):
            self._remember(practice_id, self._renewed(practice_id, rows, force=force))
        return self._store.existing(practice_id)

    def refresh_if_due(
        self, practice_id: str, within: float, *, before_call: Callable[[], object] = lambda: None
    ) -> bool:
        """Refresh a token that ends within so many seconds, unless another is at it; return whether this did.

        However far ahead one looks, a token is not refreshed before half of its life.

        Args:
            practice_id: the practice.
            within: seconds.
            before_call: called when there is something to do, and may wait.

        Raises:
            connector.errors.ConnectorError: as `token` does.
        """
        row = self._usable(practice_id, self._store.grants.rows(practice_id)).live
        if row is None or row.due_at is None or row.is_leased:
            return False
        half_over = (row.refreshed_at or 0.0) + (row.due_at - (row.refreshed_at or 0.0)) / 2
        if row.lasts() and (row.due_at - row.now > within or row.now < half_over):
            return False
        before_call()
        with self._store.audit.deferred(), self._locks.hold(practice_id, 0.0) as was_free:
            rotated = self._rotate(row) if was_free else None
        return rotated is not None and rotated.generation == row.generation + 1

    def close(self, then: Callable[[], object] = lambda: None) -> None:
        """Hand out nothing any more; refreshes under way end in the background, and store their tokens.

        Args:
            then: called when the last of them has ended, at once if there is none.
        """
        with self._guard:
            pool, self._pool, self._is_closed = self._pool, None, True
            self._cache.clear()
            if pool is not None:
                pool.shutdown(wait=False)
            is_idle = not self._pending
            if not is_idle:
                self._when_idle = then
        if is_idle:
            then()

    # --- what is stored
    # --------------------------------------------------------------------------------------

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise StoreUnavailableError("this connector was closed", hint="Make a new one.")

    def _usable(self, practice_id: str, rows: Rows) -> Rows:
        """Return the rows of a practice, if its state allows tokens.

        Only the live one's are ever handed out.
        """
        row = rows.main
        if row is None:
            self._cache.pop(practice_id, None)
            raise not_found(practice_id)
        if row.state not in (ConnectionState.CONNECTED, ConnectionState.DEGRADED):
            self._cache.pop(practice_id, None)
            require_alive(practice_id, row.state, row.reason)
            raise damaged(practice_id)
        if rows.live is None and row.confirm_by is not None:
            raise AccountUnconfirmedError(
                f"nobody has confirmed the account of {practice_id} yet",
                hint="Show a person the account, and confirm or reject it.",
                practice_id=practice_id,
                account=row.account,
            )
        return rows

    def _awaits_account(self, rows: Rows) -> bool:
        """Return whether a new grant's account is to be read now, by no person's leave."""
        row = rows.unverified
        if row is None or row.confirm_by is not None or row.is_leased or self._verify is None:
            return False
        return row.state == ConnectionState.DEGRADED and not row.retry_in

    def _looked_up(self, practice_id: str, min_ttl: float, rejected: str | None) -> CachedToken:
        self._refuse_if_closed()
        cached = self._cache.get(practice_id)
        if cached is not None and rejected is None and cached.read_at <= self._now() < cached.spared_until:
            return cached
        may_serve = cached is not None and rejected is None and self._now() < cached.expires_at
        try:
            if cached is not None and may_serve:
                held = self._store.grants.held(practice_id, timeout=_RECHECK_WITHIN)
                is_same = held is not None and held.generation == cached.generation
                if held is not None and is_same and held.lasts(min_ttl) and self._now() < cached.refresh_at:
                    return self._remember(practice_id, held)
            rows = self._store.grants.rows(practice_id, timeout=_RECHECK_WITHIN if may_serve else None)
        except StoreUnavailableError as exc:
            if cached is None or not may_serve:
                raise
            _LOG.warning("%s; the token in memory is used", exc.message, extra=_facts(practice_id, exc.kind))
            cached.read_at = self._now()
            cached.check_at = min(cached.read_at + _RECHECK_SECONDS, cached.expires_at)
            return cached
        row = self._usable(practice_id, rows).live
        if row is not None and rejected is not None and self._store.grants.access_token(row) == rejected:
            return self._renewed_for(practice_id, rows, row)
        if row is not None and row.lasts(min_ttl) and not self._awaits_account(rows):
            return self._handed_out(practice_id, row)
        return self._renewed_or_old(practice_id, rows, min_ttl)

    def _handed_out(self, practice_id: str, row: Row) -> CachedToken:
        cached = self._remember(practice_id, row)
        if row.state == ConnectionState.DEGRADED:
            _LOG.warning(
                "the connection of %s is degraded; its access token is still good",
                practice_id,
                extra=_facts(practice_id, "degraded"),
            )
        if cached.read_at >= cached.refresh_at:
            self._refresh_in_background(practice_id, row)
        return cached

    def _renewed_or_old(self, practice_id: str, rows: Rows, min_ttl: float) -> CachedToken:
        """Renew a token; if that cannot be done now, hand out the old one as long as it is valid."""
        try:
            return self._remember(practice_id, self._renewed(practice_id, rows, min_ttl=min_ttl))
        except (ProviderUnavailableError, ConfigurationError) as exc:
            live = self._usable(practice_id, self._store.grants.rows(practice_id)).live
            if live is None or not live.lasts():
                raise
            _LOG.warning(
                "%s: %s; the access token is still good",
                practice_id,
                exc.message,
                extra=_facts(practice_id, exc.kind),
            )
            cached = self._remember(practice_id, live)
            if not getattr(exc, "sent", False):
                # Nothing can be done yet: one look and one warning for all who ask meanwhile.
                cached.spared_until = min(cached.read_at + _RECHECK_SECONDS, cached.expires_at)
            return cached

    # --- an API has rejected the token
    # -----------------------------------------------------------------------

    def _renewed_for(self, practice_id: str, rows: Rows, row: Row) -> CachedToken:
        """Renew a token that an API has rejected: once, for all that were told so."""
        age = row.now - (row.refreshed_at or 0.0)
        if row.rejected_generation == row.generation and age < _JUST_RENEWED_SECONDS:
            raise ProviderUnavailableError(
                f"an API rejects the access token of {practice_id}, which was just renewed for that",
                hint="Try again in a few minutes; if it stays so, diagnose the connection.",
                practice_id=practice_id,
                retry_after=_JUST_RENEWED_SECONDS - age,
                answered=True,
            )
        renewed = self._renewed(practice_id, rows, rejected=True)
        return self._remember(practice_id, renewed)

    # --- renew
    # -----------------------------------------------------------------------------------------------

    def _renewed(
        self,
        practice_id: str,
        rows: Rows,
        *,
        min_ttl: float | None = None,
        force: bool = False,
        rejected: bool = False,
    ) -> Row:
        """Renew what was found, or wait until another has.

        Args:
            practice_id: the practice.
            rows: what was found of it.
            min_ttl: what a token that is found meanwhile has to live on to do as well; None: only another
                token than that which was found does.
            force: a person asks.
            rejected: an API has rejected the token that was found.
        """
        found, deadline = rows.live, self._clock.deadline(WAIT_SECONDS)
        started, found_tokens = self._clock.monotonic(), found and (found.generation, found.connected_at)
        # Outside of the lock: a subscriber may ask for the same practice's token.
        with self._store.audit.deferred(), self._locks.hold(practice_id, deadline.left) as was_free:
            if was_free is None:
                raise _locked(practice_id)
            if not was_free:
                rows = self._store.grants.rows(practice_id)
            while True:
                row = self._live(practice_id, rows)
                is_other = (row.generation, row.connected_at) != found_tokens
                if is_other or (min_ttl is not None and row.lasts(min_ttl)):
                    return row
                if (renewed := self._rotate(row, force=force, rejected=rejected)) is not None:
                    require_alive(practice_id, renewed.state, renewed.reason)
                    return renewed
                if row.is_leased and not deadline.pause(poll_delay(self._clock.monotonic() - started)):
                    raise _locked(practice_id)
                rows = self._store.grants.rows(practice_id)

    def _rotate(self, row: Row, *, force: bool = False, rejected: bool = False) -> Row | None:
        try:
            return self._rotator.rotate(row, force=force, rejected=rejected)
        except NeedsRepairError:
            self._cache.pop(row.practice_id, None)  # this process knows at once
            raise

    def _live(self, practice_id: str, rows: Rows) -> Row:
        """Return the row whose tokens may be handed out, once a newer grant that waits has been verified."""
        self._usable(practice_id, rows)
        if self._awaits_account(rows):
            self._verified(practice_id, rows)
            rows = self._usable(practice_id, self._store.grants.rows(practice_id))
        if rows.live is None:
            raise _account_unread(practice_id, rows)
        return rows.live

    def _verified(self, practice_id: str, rows: Rows) -> None:
        """Have the account of a new grant read; while that fails, what is live goes on."""
        if self._verify is None:
            return
        try:
            self._verify(practice_id)
        except (ProviderUnavailableError, ConfigurationError) as exc:
            _LOG.warning(
                "the account of %s cannot be read yet: %s",
                practice_id,
                exc.message,
                extra=_facts(practice_id, exc.kind),
            )
        except (AccountMismatchError, AccountUnconfirmedError, GrantRefusedError) as exc:
            if rows.live is None:
                raise
            _LOG.warning(
                "%s keeps its tokens: %s", practice_id, exc.message, extra=_facts(practice_id, exc.kind)
            )

    def _remember(self, practice_id: str, row: Row | HeldToken) -> CachedToken:
        now = self._now()
        value = row.value if isinstance(row, HeldToken) else self._store.grants.access_token(row) or ""
        offset = now - row.now  # of this process's clock from the database's
        known = self._cache.get(practice_id)
        if known is not None and known.generation == row.generation:
            refresh_at = known.refresh_at
        else:
            refresh_at = refresh_time(row) + offset
        expires_at = row.valid_until + offset
        check_at = min(now + _RECHECK_SECONDS, refresh_at if now < refresh_at else expires_at)
        cached = CachedToken(value, row.generation, now, check_at, refresh_at, expires_at)
        while practice_id not in self._cache and len(self._cache) >= _LARGEST_CACHE:
            with suppress(RuntimeError, StopIteration):  # another thread has changed it in between
                self._cache.pop(next(iter(self._cache)), None)  # the oldest
        if not self._is_closed:
            self._cache[practice_id] = cached
        return cached

    # --- ahead of time
    # ---------------------------------------------------------------------------------------

    def _refresh_in_background(self, practice_id: str, row: Row) -> None:
        """Have a token refreshed while the present one is used."""
        if not (self._proactive and row.renewable) or row.retry_in or row.is_leased:
            return
        with self._guard:
            if practice_id in self._pending or self._is_closed:
                return
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor

                self._pool = ThreadPoolExecutor(_PROACTIVE_THREADS, thread_name_prefix="ormco-refresh")
            self._pending[practice_id] = row.generation
            try:
                scope = copy_context()  # so that observers are told of calls in the background as well
                self._pool.submit(scope.run, self._run_in_background, practice_id, row)
            except RuntimeError:  # the interpreter is about to end
                self._pending.pop(practice_id, None)

    def _run_in_background(self, practice_id: str, row: Row) -> None:
        try:
            if not self._is_closed:
                # Under the lock, so that who needs the new token waits for it here, and not for the lease.
                with self._store.audit.deferred(), self._locks.hold(practice_id, 0.0) as was_free:
                    if was_free:
                        self._rotate(row)
            self._failed.pop(practice_id, None)
        except Exception as exc:
            failures = self._failed[practice_id] = self._failed.get(practice_id, 0) + 1
            level = logging.ERROR if failures >= _LOUD_FAILURES else logging.WARNING
            words = exc.message if isinstance(exc, ConnectorError) else type(exc).__name__
            kind = exc.kind if isinstance(exc, ConnectorError) else "unexpected"
            text = "%s could not be refreshed ahead of time: %s"
            _LOG.log(level, text, practice_id, words, extra=_facts(practice_id, kind))
        finally:
            with self._guard:
                self._pending.pop(practice_id, None)
                then = self._when_idle if not self._pending else None
                self._when_idle = None if then is not None else self._when_idle
            if then is not None:
                then()


def _account_unread(practice_id: str, rows: Rows) -> ProviderUnavailableError:
    return ProviderUnavailableError(
        f"the account behind {practice_id} could not be read yet",
        hint="Try again in a few minutes.",
        practice_id=practice_id,
        retry_after=(rows.unverified.retry_in or None) if rows.unverified else None,
    )


def _locked(practice_id: str) -> StoreLockedError:
    return StoreLockedError(
        f"{practice_id} is being refreshed by another process, which does not finish",
        hint="Wait for it to end, or end it if it hangs; its lease ends with it.",
    )


def _facts(practice_id: str, kind: str) -> dict[str, str]:
    return {"practice_id": practice_id, "kind": kind}
