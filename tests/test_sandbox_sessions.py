"""Signing in to the sandbox's pages: sessions that end on the server, forms, and wrong passwords."""

from __future__ import annotations

import pytest
import requests

from tests.support.sandbox import TIMEOUT, RunningSandbox, Visitor


def test_cookie_is_for_the_browser_alone(classic: RunningSandbox) -> None:
    """The session cookie is HttpOnly and SameSite."""
    cookie = requests.get(f"{classic.url}/Account/Login", timeout=TIMEOUT).headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    ("page", "action"), [("portal", "/Account/Logout"), ("ormcodigital", "/ormcodigital/logout")]
)
def test_log_out_ends_the_session_on_the_server(classic: RunningSandbox, page: str, action: str) -> None:
    """A cookie that was copied before logging out opens nothing afterwards."""
    person, thief = Visitor(classic), Visitor(classic)
    who = classic.practice
    if page == "portal":
        opened = person.sign_in(classic.portal_url)
    else:
        login = person.open(classic.ormcodigital_url)
        opened = person.submit(login, username=who.username, password=who.password)
    assert "Log out" in opened.text
    thief.session.cookies.update(person.session.cookies)
    person.press(opened, action)
    assert "Log out" not in thief.open(opened.url).text


def test_signing_in_changes_the_session(classic: RunningSandbox) -> None:
    """A session that another person began is not signed in (session fixation)."""
    person, other = Visitor(classic), Visitor(classic)
    person.open(classic.portal_url)
    other.session.cookies.update(person.session.cookies)
    person.sign_in(classic.portal_url)
    assert "Log in to your account" in other.open(classic.portal_url).text


@pytest.mark.parametrize(
    "path", ["/Account/Login", "/User/Applications", "/ormcodigital/login", "/portal/login"]
)
def test_forms_need_their_token(classic: RunningSandbox, path: str) -> None:
    """A form that no page of the sandbox has made is refused."""
    response = requests.post(classic.url + path, data={"Email": classic.practice.username}, timeout=TIMEOUT)
    assert response.status_code == 400
