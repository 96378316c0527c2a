"""Consent: from the authorization request to the stored connection with a verified account."""

from __future__ import annotations

from connector.consent.completion import Capture, ConsentOptions, complete, connect
from connector.consent.preparation import Progress, begin

__all__ = ["Capture", "ConsentOptions", "Progress", "begin", "complete", "connect"]
