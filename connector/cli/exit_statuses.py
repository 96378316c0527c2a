"""Map errors to exit statuses."""

from __future__ import annotations

from collections.abc import Sequence

from connector import errors
from connector.errors import ConnectorError

__all__ = ["EXIT_STATUSES", "INTERRUPTED", "UNEXPECTED", "exit_status"]

# The first class that matches decides.
EXIT_STATUSES: Sequence[tuple[type[ConnectorError], int]] = (
    (errors.AuthorizationResponseError, 3),
    (errors.ConsentDeniedError, 4),
    (errors.ProviderUnavailableError, 5),
    (errors.NotFoundError, 6),
    (errors.GrantError, 7),
    (errors.AccountMismatchError, 8),
    (errors.AccountUnconfirmedError, 8),
    (errors.StoreError, 9),
    (errors.ConfigurationError, 10),
)
UNEXPECTED = 1
INTERRUPTED = 130


def exit_status(error: BaseException) -> int:
    """Return the exit status for an error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return next((status for kind, status in EXIT_STATUSES if isinstance(error, kind)), UNEXPECTED)
