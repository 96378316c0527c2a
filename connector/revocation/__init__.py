"""Take access back, and prove that it is gone."""

from __future__ import annotations

from connector.revocation.steps import Revocation, revoke

__all__ = ["Revocation", "revoke"]
