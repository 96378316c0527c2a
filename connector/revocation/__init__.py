"""Revoke Ormco's access, and prove that it is gone."""

from __future__ import annotations

from connector.revocation.proof import Revocation
from connector.revocation.steps import revoke

__all__ = ["Revocation", "revoke"]
