"""What is wrong with a connection, and the least step that mends it."""

from __future__ import annotations

from connector.repair.steps import LastResort, Repair, reconnect, repair

__all__ = ["LastResort", "Repair", "reconnect", "repair"]
