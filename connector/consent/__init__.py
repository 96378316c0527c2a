"""Consent: from the link that is sent to the stored connection whose account is proved."""

from __future__ import annotations

from connector.consent.flow import (
    LOCK_TIMEOUT,
    Attempt,
    Capture,
    Progress,
    Terms,
    begin,
    check_practice_id,
    check_provider,
    complete,
    connect,
)

__all__ = [
    "LOCK_TIMEOUT",
    "Attempt",
    "Capture",
    "Progress",
    "Terms",
    "begin",
    "check_practice_id",
    "check_provider",
    "complete",
    "connect",
]
