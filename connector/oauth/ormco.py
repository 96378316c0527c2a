"""Public facts about Ormco; every command needs them, so this module loads fast."""

from __future__ import annotations

from collections.abc import Mapping

from connector.redirect import REDIRECT_URI

__all__ = ["LABS", "LAB_PREFIX", "REDIRECT_URI"]

# Step 3: Ormco's lab account in each region.
LABS: Mapping[str, str] = {
    "americas": "insignia.support@ormco.com",
    "asia-pacific": "insignia.supportasia@ormco.com",
    "europe": "insignia.supporteurope@ormco.com",
}
# The practice id of a lab's own connection is this prefix and the region.
LAB_PREFIX = "lab:"
