"""The doctor: checks of this machine, the provider and a connection, each with its cure."""

from __future__ import annotations

from connector.doctor.examination import ALL_CHECKS, examine

__all__ = ["ALL_CHECKS", "examine"]
