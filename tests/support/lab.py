"""The other side of a lab connection, and the portal's: by the sandbox's users API, without the product."""

from __future__ import annotations

from typing import Any

import requests

from tests.support.oauth_calls import connected as tokens_of
from tests.support.sandbox import TIMEOUT, RunningSandbox, SignIn

EMAILS = {
    "americas": "insignia.support@ormco.com",
    "asia-pacific": "insignia.supportasia@ormco.com",
    "europe": "insignia.supporteurope@ormco.com",
}


def lab_of(sandbox: RunningSandbox, region: str) -> SignIn:
    """How Ormco's lab of a region signs in."""
    return SignIn(username=EMAILS[region], password=sandbox.lab.password)


class UsersApi:
    """The users API as an account's owner calls it, without the product."""

    def __init__(self, sandbox: RunningSandbox, who: SignIn) -> None:
        self._url = f"{sandbox.url}/api/users"
        self.headers = {"Authorization": f"Bearer {tokens_of(sandbox, who)['access_token']}"}
        self.id: str = self.me()["Id"]

    def me(self) -> dict[str, Any]:
        """The account."""
        user: dict[str, Any] = self.call("GET", "/me")
        return user

    def ask(self, email: str) -> None:
        """Ask another account for a connection."""
        self.call("POST", f"/{self.id}/requestconnection/{self.call('GET', f'/{email}')['Id']}")

    def approve_all(self) -> None:
        """Accept whatever waits."""
        for row in self.me()["Connections"]:
            self.call("POST", f"/{self.id}/connection/{row['Id']}/approve")

    def remove_all(self) -> None:
        """Reject or delete every connection."""
        for row in self.me()["Connections"]:
            self.call("DELETE", f"/{self.id}/connection/{row['Id']}")

    def send(self, method: str, path: str) -> requests.Response:
        """Send a request, and return its response whatever it is."""
        return requests.request(method, self._url + path, headers=self.headers, timeout=TIMEOUT)

    def call(self, method: str, path: str) -> Any:
        """Send a request that succeeds, and return its JSON."""
        response = self.send(method, path)
        response.raise_for_status()
        return response.json() if response.content else None
