"""What is known of Ormco itself, from its printed guide."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LABS", "REDIRECT_URI"]

# Step 8 of Getting Connected: where the browser is sent with the code.
REDIRECT_URI = "https://ormco.com/"

# Step 3: Ormco's lab account in each region.
LABS: Mapping[str, str] = {
    "americas": "insignia.support@ormco.com",
    "asia-pacific": "insignia.supportasia@ormco.com",
    "europe": "insignia.supporteurope@ormco.com",
}
