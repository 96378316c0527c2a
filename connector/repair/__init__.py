"""Diagnose a connection, and take the smallest step that repairs it."""

from __future__ import annotations

from connector.repair.diagnosis import Diagnosis, Need, diagnose
from connector.repair.silent import Step
from connector.repair.steps import LastResort, Repair, reconnect, repair

__all__ = ["Diagnosis", "LastResort", "Need", "Repair", "Step", "diagnose", "reconnect", "repair"]
