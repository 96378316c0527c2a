"""An imitation of 3Shape Communicate and OrmcoDigital with real pages, on loopback only.

The sandbox is independent of the rest of the package: it imports nothing of it, so that it can disagree.
It needs the extra `sandbox`, but neither Flask nor Authlib is imported before one is started.
"""

from __future__ import annotations

from connector.sandbox.scenarios import SCENARIOS
from connector.sandbox.server import Sandbox

__all__ = ["SCENARIOS", "Sandbox"]
