"""A valid access token at any moment, and refresh tokens that are never lost."""

from __future__ import annotations

from connector.refresh.refresher import Refresher

__all__ = ["Refresher"]
