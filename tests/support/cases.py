"""Practices with cases: a running sandbox, and a connector with connections to its accounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from connector.communicate.models import Case, read_case
from connector.config import Config
from connector.connector import Connector
from tests.support import connecting
from tests.support.oauth_calls import connected as tokens_of
from tests.support.sandbox import TIMEOUT, RunningSandbox, SignIn


def settings(sandbox: RunningSandbox, folder: Path) -> dict[str, str]:
    """The environment of a connector that is connected to a sandbox."""
    return connecting.settings(sandbox, f"sqlite:///{folder / 'connections.db'}")


class Workflow:
    """The sandbox's cases, played by command."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self._http = requests.Session()

    def send(self, **body: Any) -> list[str]:
        """Let a practice send cases; return their ids."""
        cases: list[str] = self._post("/sandbox/cases", body)["cases"]
        return cases

    def act(self, case_id: str, *actions: str, **body: Any) -> dict[str, Any]:
        """Let the sides take their steps."""
        response: dict[str, Any] = {}
        for action in actions:
            response = self._post(f"/sandbox/cases/{case_id}/{action}", body)
        return response

    def add_practices(self, **body: Any) -> list[SignIn]:
        """Make more practices."""
        rows = self._post("/sandbox/practices", body)["practices"]
        return [SignIn(username=row["username"], password=row["password"]) for row in rows]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self._http.post(self.sandbox.url + path, json=body, timeout=TIMEOUT)
        assert response.status_code == 200, response.text
        received: dict[str, Any] = response.json()
        return received


class MetadataApi:
    """The metadata API with one account's token, called without the product."""

    def __init__(self, sandbox: RunningSandbox, who: SignIn | None = None, region: str = "americas") -> None:
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {tokens_of(sandbox, who)['access_token']}"
        self.root = f"{sandbox.url}/metadata/{region}/api/"

    def __call__(self, path: str, method: str = "GET", **options: Any) -> requests.Response:
        return self.http.request(method, self.root + path, timeout=TIMEOUT, **options)


def sound_case(value: object) -> Case:
    """The case in a response of the metadata API; it has to be one."""
    case = read_case(value)
    assert case is not None
    return case


@contextmanager
def connected(sandbox: RunningSandbox, folder: Path, **practices: SignIn) -> Iterator[Connector]:
    """A connector with a connection for each practice."""
    with Connector.from_config(Config.from_env(settings(sandbox, folder))) as connector:
        for practice_id, who in practices.items():
            connector.adopt(practice_id.replace("__", ":"), tokens_of(sandbox, who)["refresh_token"])
        yield connector
