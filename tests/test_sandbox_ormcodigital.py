"""OrmcoDigital's My Profile: the codes that its dialog accepts, and the effect of Update."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import requests

from tests.support.sandbox import TIMEOUT, RunningSandbox, Visitor


class Practice(Visitor):
    """A person of the practice on My Profile."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        super().__init__(sandbox)
        who = sandbox.practice
        self.page = self.submit(
            self.open(sandbox.ormcodigital_url), username=who.username, password=who.password
        )

    def link(self) -> str:
        """The address of "here" in the dialog."""
        found = re.search(r'First click <a href="([^"]+)"', self.page.text)
        assert found
        return found[1].replace("&amp;", "&")

    def dialog_code(self) -> str:
        """Click "here", authorize, and take the code out of the URL as the guide says."""
        response = self.sandbox.sandbox.consent_url(self.link())
        return response.partition("?code=")[2].partition("&")[0].replace("%2521", "%21")

    def ok(self, code: str) -> bool:
        response = self.press(self.page, "/ormcodigital/account/code", code=code)
        return bool(response.json()["accepted"])

    def update(self, code: str) -> requests.Response:
        return self.submit(self.page, code=code, source="scanner", scanner="3Shape Trios")


def test_profile_asks_to_log_in(sandbox: RunningSandbox) -> None:
    """Without a session there is the login page; a wrong password and a lab's account stay on it."""
    person, lab = Visitor(sandbox), sandbox.lab
    page = person.open(f"{sandbox.ormcodigital_url}/account/profile")
    assert "Welcome to OrmcoDigital" in page.text
    for username, password in ((sandbox.practice.username, "wrong"), (lab.username, lab.password)):
        page = person.submit(page, username=username, password=password)
        assert "The username or password is not correct." in page.text


def test_profile_has_the_words_of_the_guide(sandbox: RunningSandbox) -> None:
    """My Profile and the dialog have the words of the guide's pictures."""
    text = re.sub(r"<[^>]+>", "", Practice(sandbox).page.text)
    for words in (
        *("My Account", "Submission Method", "3Shape Trios", "Connect 3 Shape to Insignia"),
        *("Enter Authorization Code", "First click here to generate the authorization code."),
        *("Enter Code :"),
    ):
        assert words in text


def test_guide_from_step_4_to_10(sandbox: RunningSandbox) -> None:
    """Authorize, Ok and Update: the profile is saved and connected, and the code is spent."""
    practice = Practice(sandbox)
    code = practice.dialog_code()
    assert practice.ok(code) is True
    page = practice.update(code).text
    assert "Your profile has been updated." in page
    assert "3Shape is connected to Insignia." in page
    assert sandbox.counters()["token:authorization_code"] == 1


def test_ok_alone_saves_nothing(sandbox: RunningSandbox) -> None:
    """Without Update nothing is saved and no code is spent."""
    practice = Practice(sandbox)
    practice.ok(practice.dialog_code())
    page = practice.open(f"{sandbox.ormcodigital_url}/account/profile")
    assert "3Shape is connected" not in page.text
    assert "token:authorization_code" not in sandbox.counters()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda code: f"https://ormco.com/?code={code}",
        lambda code: f"code={code}",
        lambda code: code.replace("%21", "%2521"),
        unquote,
        lambda code: f" {code}",
        lambda code: f"{code}\n",
        lambda code: code[:60],
        lambda code: "",
    ],
)
def test_dialog_accepts_one_form_only(classic: RunningSandbox, spoil: Callable[[str], str]) -> None:
    """Anything but the form that the guide's manual steps end with is refused."""
    practice = Practice(classic)
    code = practice.dialog_code()
    assert practice.ok(spoil(code)) is False
    assert practice.ok(code) is True


@pytest.mark.parametrize("cause", ["spent", "outage"])
def test_update_that_fails_is_reported(sandbox: RunningSandbox, cause: str) -> None:
    """A code that the provider refuses, or its outage, is reported, and the profile is not connected."""
    practice = Practice(sandbox)
    code = practice.dialog_code()
    practice.update(code) if cause == "spent" else sandbox.set_scenarios("outage")
    page = practice.update(code).text
    assert "3Shape did not accept the authorization code." in page
    assert "Your profile has been updated." not in page


def test_classic_link_is_the_guide_s(classic: RunningSandbox) -> None:
    """The link leads to the British authorise address with Ormco's home page as redirect URI."""
    parts = urlsplit(Practice(classic).link())
    assert parts.path == "/oauth/authorise"
    assert dict(parse_qsl(parts.query)) == {
        "client_id": classic.client_id,
        "redirect_uri": "https://ormco.com/",
        "response_type": "code",
    }


def test_code_check_needs_a_session(classic: RunningSandbox) -> None:
    """A request without the page's form token cannot check a code."""
    url = f"{classic.ormcodigital_url}/account/code"
    assert requests.post(url, data={"code": "x"}, timeout=TIMEOUT).status_code == 400
