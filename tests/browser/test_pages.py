"""Find the elements of the provider's pages by their words."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from connector.browser.pages.communicate import sign_in_and_allow
from connector.errors import PageChangedError, SettingError
from tests.support.authorization_pages import CODE, LANDING, PASSWORD, AuthorizationPages

Capture = Callable[..., str]


@pytest.mark.parametrize("page", ["sign-in", "sign-in-first", "authorize", "302"])
def test_sign_in_and_allow(page: str, capture: Capture, pages: AuthorizationPages) -> None:
    """Sign-in on one page, on two, or none at all; then access is allowed."""
    pages.target = f"{LANDING}?{CODE}"
    person = sign_in_and_allow("somebody@example.test", PASSWORD)
    assert capture(pages.authorize(page), person=person) == pages.target


def test_wrong_password(capture: Capture, pages: AuthorizationPages) -> None:
    """A refused sign-in is reported at once, and the password is nowhere in what is reported."""
    person = sign_in_and_allow("somebody@example.test", "made-up wrong password")
    with pytest.raises(SettingError, match="did not accept the user name or password") as caught:
        capture(pages.authorize("sign-in"), person=person)
    assert "made-up wrong" not in repr(person) + "".join(traceback.format_exception(caught.value))


def test_page_with_other_words(capture: Capture, pages: AuthorizationPages) -> None:
    """A consent page without *Allow access* is reported with what is missing and what is there."""
    person = sign_in_and_allow("somebody@example.test", PASSWORD)
    with pytest.raises(PageChangedError, match='no "Allow access" after sign-in; it has: "Agree", "Not now"'):
        capture(pages.authorize("changed"), person=person)
