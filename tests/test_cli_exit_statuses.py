"""The exit status of each error."""

from __future__ import annotations

import pytest

from connector import errors
from connector.cli.exit_statuses import EXIT_STATUSES, exit_status
from connector.errors import ConnectorError


def every_error() -> list[type[ConnectorError]]:
    """All error classes of the package but the base."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in kinds if issubclass(kind, ConnectorError) and kind is not ConnectorError]


@pytest.mark.parametrize(
    ("status", "names"),
    [
        (3, ["CodeMissingError", "StateMismatchError", "CodeRefusedError", "NobodyActedError"]),
        (4, ["ConsentDeniedError", "WindowClosedError"]),
        (5, ["ProviderUnavailableError"]),
        (6, ["ConnectionNotFoundError", "StillWaitingError"]),
        (7, ["NeedsRepairError", "RevokedError", "GrantStillHonouredError"]),
        (8, ["AccountMismatchError"]),
        (9, ["StoreLockedError", "SealingKeyError"]),
        (10, ["SettingError", "ClientRefusedError", "ProviderErrorPageError"]),
    ],
)
def test_each_error_has_its_exit_status(status: int, names: list[str]) -> None:
    """The exit statuses are those that scripts rely on."""
    for name in names:
        kind = getattr(errors, name)
        assert next(value for known, value in EXIT_STATUSES if issubclass(kind, known)) == status, name


def test_no_error_is_without_an_exit_status() -> None:
    """Every class of the tree falls under exactly one status, so that their order does not matter."""
    for kind in every_error():
        assert len([status for known, status in EXIT_STATUSES if issubclass(kind, known)]) == 1, kind


def test_unexpected_errors_have_their_own_statuses() -> None:
    """1 for a programming error, 130 for Ctrl-C."""
    assert (exit_status(ValueError("x")), exit_status(KeyboardInterrupt())) == (1, 130)
    assert exit_status(errors.CodeDamagedError("cut", length=3)) == 3
