"""One refresh call, and a second one where the first answer can mean two things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from connector.clock import Clock
from connector.errors import GrantRefusedError
from connector.oauth.token_set import TokenSet

__all__ = ["RefreshEndpoint", "ask"]

_AMBIGUOUS_PAUSE = 1.5


class RefreshEndpoint(Protocol):
    """What a refresh needs of a token endpoint."""

    def refresh(self, refresh_token: str) -> TokenSet:
        """Get a new token set; sends the refresh token at most once."""


def ask(
    endpoint: RefreshEndpoint, refresh_token: str, *, clock: Clock, is_newest: Callable[[], bool]
) -> TokenSet:
    """Get a new token set.

    Args:
        endpoint: where.
        refresh_token: the one to send.
        clock: for the pause before it is sent a second time.
        is_newest: whether it still is the newest one that is known, asked after the pause.

    Raises:
        connector.errors.GrantRefusedError: the grant is dead.
        connector.errors.ProviderUnavailableError: no answer of the provider's own.
        connector.errors.ClientRefusedError: the client is not accepted.
    """
    try:
        return endpoint.refresh(refresh_token)
    except GrantRefusedError as exc:
        if exc.certain:
            raise
    # Some servers answer like this for a moment after issuing; others mean it.
    clock.sleep(_AMBIGUOUS_PAUSE)
    if not is_newest():
        raise GrantRefusedError("the refresh token is not the newest any more", certain=True)
    return endpoint.refresh(refresh_token)
