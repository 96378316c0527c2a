"""Consent: from the authorization request to the stored connection with a verified account."""

from __future__ import annotations

from connector.consent.completion import complete
from connector.consent.flow import Capture, ConsentOptions, connect
from connector.consent.preparation import (
    Progress,
    begin,
    check_practice_id,
    check_provider,
    refuse_while_revoking,
)

__all__ = [
    "Capture",
    "ConsentOptions",
    "Progress",
    "begin",
    "check_practice_id",
    "check_provider",
    "complete",
    "connect",
    "refuse_while_revoking",
]
