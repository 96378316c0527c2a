"""Where things are on the pages: by role and by the words a person reads. Nothing else knows them."""

from __future__ import annotations

from connector.browser.pages.communicate import (
    allow_access,
    application_icon,
    application_name,
    applications_heading,
    cancel,
    confirm_button,
    first_page,
    sign_in,
    sign_in_and_allow,
)

__all__ = [
    "allow_access",
    "application_icon",
    "application_name",
    "applications_heading",
    "cancel",
    "confirm_button",
    "first_page",
    "sign_in",
    "sign_in_and_allow",
]
