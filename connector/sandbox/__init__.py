"""An imitation of 3Shape Communicate and OrmcoDigital with real pages, on loopback only.

The sandbox imports nothing from the rest of the package, so that it cannot share its mistakes. It needs the
extra `sandbox`, but Flask and Authlib are not imported before a sandbox is started.
"""

from __future__ import annotations

from connector.sandbox.scenarios import SCENARIOS
from connector.sandbox.server import Sandbox

__all__ = ["SCENARIOS", "Sandbox"]
