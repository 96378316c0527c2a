"""One refresh, done so that no grant is lost: intent, call, verdict, commit.

Everything here is called with the practice's lock held. Whenever this process dies, the store holds the old
pair, the new pair, or the record that a refresh was sent whose answer is not known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from connector.clock import Clock
from connector.connection import Event, Grant
from connector.errors import (
    AccountMismatchError,
    AccountUnconfirmedError,
    ClientRefusedError,
    GrantRefusedError,
    NeedsRepairError,
    ProviderUnavailableError,
    StoreLockedError,
    StoreUnavailableError,
)
from connector.hints import ormco_command
from connector.oauth.token_set import TokenSet
from connector.refresh.asking import RefreshEndpoint, ask
from connector.refresh.verdict import (
    ANSWER_LOST,
    RATE_LIMITED,
    answer_lost,
    dead,
    needs_repair,
    postponed,
    renewed,
    require_alive,
    serves_until,
)
from connector.store import FencedError, Store, this_process

__all__ = ["Renewal"]

_LOG = logging.getLogger("connector")
_SAVE_SECONDS = 60.0


class Renewal:
    """Gets new tokens for one practice at a time.

    Args:
        store: where they are kept.
        endpoint: gives the token endpoint of a provider, by its name.
        clock: the time.
        prove: reads the account of a grant whose tokens are unproven, and returns the grant as stored then.
    """

    def __init__(
        self,
        store: Store,
        endpoint: Callable[[str], RefreshEndpoint],
        clock: Clock,
        *,
        prove: Callable[[Grant], Grant] | None = None,
    ) -> None:
        self._store = store
        self._endpoint = endpoint
        self._clock = clock
        self._prove = prove
        self._unsaved: dict[str, tuple[Grant, Sequence[Event]]] = {}

    def renew(self, grant: Grant, *, generation: int, force: bool = False) -> Grant | None:
        """Get new tokens in place of a generation of them; at most one call, whoever else asks.

        Args:
            grant: as it was found with the lock held.
            generation: the one that was found wanting; if there is a newer one, that is returned.
            force: try even while an old token still serves.

        Returns:
            The grant as it is now, or None if another process may be at it, its lock lost.

        Raises:
            connector.errors.GrantError: only a person can help.
            connector.errors.ProviderUnavailableError: not now.
            connector.errors.ClientRefusedError: the settings are wrong.
        """
        if grant.connection.practice_id in self._unsaved:
            grant = self._save(grant.connection.practice_id)
        if self._prove is not None and _waits_for_its_account(grant) and self._may_try(grant, force=False):
            return self._proved(grant, self._prove)
        if grant.connection.token_generation != generation:
            return grant
        require_alive(grant.connection)
        if self._store.may_be_under_way(grant):
            return None
        refresh_token = self._refresh_token(grant)
        if not force:
            self._spare_what_serves(grant)
        self._require_turn(grant, force=force)
        return self._rotate(grant, refresh_token)

    def carry_out(self, sent: Grant) -> Grant:
        """Get new tokens where the intent is recorded already, by `Store.claim`.

        Raises:
            connector.errors.ConnectorError: as `renew` does.
        """
        if sent.connection.practice_id in self._unsaved:
            return self._save(sent.connection.practice_id)
        return self._send(sent, self._refresh_token(sent), lost_at=None)

    def _proved(self, grant: Grant, prove: Callable[[Grant], Grant]) -> Grant:
        practice_id = grant.connection.practice_id
        try:
            return prove(grant)
        except (ProviderUnavailableError, ClientRefusedError) as exc:
            _LOG.warning("the account of %s cannot be read yet: %s", practice_id, exc.message)
            grant = self._store.existing_grant(practice_id)  # the proof may have got as far as newer tokens
            return self._put(*postponed(grant, exc, self._clock.utc_now(), lost_at=grant.refresh_sent_at))
        except (AccountMismatchError, GrantRefusedError) as exc:
            present = self._store.get(practice_id)
            if present is None or present.tokens is None:
                raise
            _LOG.warning("%s keeps its tokens: %s", practice_id, exc.message)
            return present

    def _refresh_token(self, grant: Grant) -> str:
        tokens, practice_id = grant.tokens, grant.connection.practice_id
        if tokens is None and grant.confirm_by is not None:
            raise AccountUnconfirmedError(
                f"nobody has confirmed the account of {practice_id} yet",
                hint=f"At a terminal: {ormco_command('repair', practice_id)}",
                account=grant.unproven and grant.unproven.account,
            )
        if tokens is None:
            raise ProviderUnavailableError(
                f"the account behind {practice_id} could not be read yet",
                hint=f"Try again in a few minutes: ormco repair {practice_id}",
                retry_after=self._seconds_until(grant.retry_at),
            )
        if tokens.refresh_token is None and tokens.good_until > self._clock.utc_now():
            raise ProviderUnavailableError(
                f"{practice_id} has no refresh token, and its access token is near its end",
                hint=f"Have the practice give access again: ormco repair {practice_id}",
                sent=False,
            )
        if tokens.refresh_token is None:
            raise self._buried(
                grant, "not_renewable", "the access token ended, and there is no refresh token"
            )
        return tokens.refresh_token

    def _spare_what_serves(self, grant: Grant) -> None:
        """Let the old access token serve to its end where another attempt could kill it.

        An answer may be lost, so the refresh token may be a used one: a provider that detects reuse ends the
        whole grant when it sees it again.
        """
        if grant.refresh_sent_at is None or grant.tokens is None:
            return
        until = serves_until(grant.tokens)
        if self._clock.utc_now() >= until:
            return
        if grant.connection.reason != ANSWER_LOST:
            self._put(*answer_lost(grant, self._clock.utc_now()))
        raise ProviderUnavailableError(
            f"the answer to the last refresh of {grant.connection.practice_id} may be lost",
            hint="The present access token is used to its end before the one attempt that is left.",
            retry_after=self._seconds_until(until),
            sent=False,
        )

    def _require_turn(self, grant: Grant, *, force: bool) -> None:
        if self._may_try(grant, force=force):
            return
        connection = grant.connection
        raise ProviderUnavailableError(
            connection.last_error or f"the last refresh of {connection.practice_id} failed",
            hint=f"The next attempt is made after {grant.retry_at:%H:%M:%S} UTC.",
            retry_after=self._seconds_until(grant.retry_at),
            sent=False,
        )

    def _may_try(self, grant: Grant, *, force: bool) -> bool:
        if grant.retry_at is None or grant.retry_at <= self._clock.utc_now():
            return True
        return force and grant.connection.reason != RATE_LIMITED

    def _rotate(self, grant: Grant, refresh_token: str) -> Grant:
        self._store.make_room()
        return self._send(self._record_intent(grant), refresh_token, lost_at=grant.refresh_sent_at)

    def _send(self, sent: Grant, refresh_token: str, *, lost_at: datetime | None) -> Grant:
        practice_id = sent.connection.practice_id
        try:
            tokens = self._ask(sent, refresh_token)
        except GrantRefusedError as exc:
            return self._refused(sent, exc, lost_at)
        except (ProviderUnavailableError, ClientRefusedError) as exc:
            self._note(*postponed(sent, exc, self._clock.utc_now(), lost_at=lost_at))
            raise
        except BaseException:
            self._note(replace(sent, refresh_owner=None))  # nobody needs to wait for this process
            raise
        self._unsaved[practice_id] = renewed(sent, tokens, self._clock.utc_now())
        return self._save(practice_id)

    def _record_intent(self, grant: Grant) -> Grant:
        now = self._clock.utc_now()
        return self._put(replace(grant, refresh_sent_at=now, refresh_owner=this_process()))

    def _ask(self, sent: Grant, refresh_token: str) -> TokenSet:
        practice_id, generation = sent.connection.practice_id, sent.connection.token_generation
        return ask(
            self._endpoint(sent.connection.provider),
            refresh_token,
            clock=self._clock,
            is_newest=lambda: self._store.existing(practice_id).token_generation == generation,
        )

    def _refused(self, sent: Grant, exc: GrantRefusedError, lost_at: datetime | None) -> Grant:
        present = self._store.existing_grant(sent.connection.practice_id)
        if present.connection.token_generation != sent.connection.token_generation:
            return present  # ours was an old one: a sibling that had lost its lock has stored newer tokens
        raise self._buried(present, "grant_refused" if lost_at is None else ANSWER_LOST, exc.message)

    def _buried(self, grant: Grant, reason: str, message: str) -> NeedsRepairError:
        """Latch a dead grant: not one more call is made for it."""
        return needs_repair(self._put(*dead(grant, reason, message, self._clock.utc_now())).connection)

    def _save(self, practice_id: str) -> Grant:
        """Commit new tokens, for as long as it takes: nobody else has them."""
        deadline = self._clock.deadline(_SAVE_SECONDS)
        while True:
            try:
                stored = self._put(*self._unsaved[practice_id], new_tokens=True)
            except FencedError:
                _LOG.warning("newer tokens of %s were stored meanwhile", practice_id)
                stored = self._store.existing_grant(practice_id)
            except (StoreUnavailableError, StoreLockedError):
                if deadline.pause(1.0):
                    continue
                raise
            del self._unsaved[practice_id]
            return stored

    def _note(self, grant: Grant, events: Sequence[Event] = ()) -> None:
        """Record what became of a call, unless another process has recorded something newer."""
        try:
            self._put(grant, events)
        except FencedError:
            _LOG.info("%s was changed by another process meanwhile", grant.connection.practice_id)

    def _put(self, grant: Grant, events: Sequence[Event] = (), *, new_tokens: bool = False) -> Grant:
        expected = grant.connection.token_generation - new_tokens
        return self._store.put(grant, expected_generation=expected, events=events)

    def _seconds_until(self, moment: datetime | None) -> float | None:
        return None if moment is None else max(0.0, (moment - self._clock.utc_now()).total_seconds())


def _waits_for_its_account(grant: Grant) -> bool:
    """Return whether newer tokens wait for their account to be read, and no person has to confirm it."""
    return grant.unproven is not None and grant.confirm_by is None
