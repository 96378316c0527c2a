"""Serve a sandbox on a loopback port, from a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connector.sandbox.accounts import LABS_OF_ORMCO, OTHER_PRACTICE, PRACTICE, Account
from connector.sandbox.clients import CLIENT_ID, PUBLIC_CLIENT_ID, client_secret, provider_toml
from connector.sandbox.folder import SandboxFolder
from connector.sandbox.scenarios import check_scenarios

if TYPE_CHECKING:
    from connector.sandbox.app import Listener

__all__ = ["Sandbox"]

_GENERATIONS = ("classic", "identity")
_LOOPBACK = "127.0.0.1"
_REDIRECT_URI = "https://ormco.com/"


class Sandbox:
    """3Shape Communicate and OrmcoDigital, imitated on one loopback port.

    It holds everything in memory and forgets it when it stops. Use it as a context manager, or call
    `start` and `stop`.

    Args:
        generation: "classic" or "identity".
        port: the port to listen on; 0 for a free one.
        scenarios: names of `connector.sandbox.SCENARIOS`.
        redirect_uris: registered in addition to `https://ormco.com/`, each compared byte for byte; the first
            becomes the description's `redirect_uri`.
        client_id: Ormco's client id.
        scope: the scope in the provider file; None: the generation's usual one.
        approval_seconds: seconds until Ormco's lab approves a connection; None: it does not.

    Raises:
        ValueError: there is no such generation, scenario or scope, or a redirect URI is not an absolute
            address.
    """

    #: a client without a secret, which only the identity generation knows
    public_client_id = PUBLIC_CLIENT_ID

    def __init__(
        self,
        generation: str = "classic",
        *,
        port: int = 0,
        scenarios: Iterable[str] = (),
        redirect_uris: Iterable[str] = (),
        client_id: str = CLIENT_ID,
        scope: str | None = None,
        approval_seconds: float | None = 5,
    ) -> None:
        if generation not in _GENERATIONS:
            raise ValueError(f"there is no generation {generation!r}")
        self.generation = generation
        self._port = port
        self._scenarios = check_scenarios(scenarios)
        self._redirect_uris = tuple(map(_checked_uri, redirect_uris))
        self._client_id = client_id
        self._scope = scope
        self._approval_seconds = approval_seconds
        provider_toml(generation, "", scope)  # raises an error for an unknown scope
        self._listener: Listener | None = None
        self._running = ExitStack()

    def start(self) -> Sandbox:
        """Listen and serve.

        Raises:
            OSError: the port is in use.
        """
        from connector.sandbox.app import Listener
        from connector.sandbox.state import State

        if self._listener is not None:
            return self
        with socket.create_server((_LOOPBACK, self._port)) as bound:
            state = State(
                self.generation,
                base_url=f"http://{_LOOPBACK}:{bound.getsockname()[1]}",
                client_id=self._client_id,
                redirect_uris=(_REDIRECT_URI, *self._redirect_uris),
                scenarios=self._scenarios,
                approval_seconds=self._approval_seconds,
            )
            self._listener = Listener(state, bound)
        folder = SandboxFolder()
        self._running.callback(folder.remove)
        self._provider_file = folder.path / "provider.toml"
        self._provider_file.write_text(provider_toml(self.generation, state.base_url, self._scope), "utf-8")
        thread = threading.Thread(target=self._listener.serve_forever, name="sandbox", daemon=True)
        thread.start()
        self._running.callback(thread.join)
        self._running.callback(self._listener.close)
        return self

    def stop(self) -> None:
        """Stop serving, cut every connection and forget everything."""
        self._running.close()
        self._listener = None

    @property
    def url(self) -> str:
        """The sandbox's origin."""
        return self._served.state.base_url

    @property
    def description(self) -> dict[str, Any]:
        """Everything that a client or a person needs to use this sandbox, ready for JSON."""
        url = self.url
        return {
            "generation": self.generation,
            "provider_file": str(self._provider_file),
            "client_id": self._client_id,
            "client_secret": client_secret(self.generation),
            "redirect_uri": next(iter(self._redirect_uris), _REDIRECT_URI),
            "practice": _sign_in_data(PRACTICE),
            "other_practice": _sign_in_data(OTHER_PRACTICE),
            "lab": _sign_in_data(LABS_OF_ORMCO[PRACTICE.region.key]),
            "portal_url": f"{url}/portal",
            "applications_page": f"{url}/User/Applications",
            "ormcodigital_url": f"{url}/ormcodigital",
            "control_url": f"{url}/sandbox/control",
        }

    def set_scenarios(self, *names: str) -> None:
        """Replace the scenarios while it runs.

        Raises:
            ValueError: there is no such scenario.
        """
        self._control("control", {"scenarios": names})

    def reset(self) -> None:
        """Forget everything that happened, and return to the settings of the start."""
        self._control("control", {"reset": True})

    def consent_url(
        self, authorization_url: str, *, username: str | None = None, decision: str = "allow"
    ) -> str:
        """Go through an authorization request without a browser, and return the redirect URL.

        Args:
            authorization_url: an authorization URL of this sandbox.
            username: the e-mail address of the account that signs in; None: the practice.
            decision: "allow" or "cancel".

        Raises:
            ValueError: the provider does not redirect, for example because of a scenario.
        """
        body = {"authorization_url": authorization_url, "decision": decision}
        received = self._control("consent", body | ({"username": username} if username else {}))
        return str(received["redirect_url"])

    def new_case(self, **options: Any) -> str:
        """Send a case from the practice to Ormco's lab, and return its id.

        Args:
            **options: the keys of POST /sandbox/cases: `practice`, `lab`, `patient`, `attachments`.

        Raises:
            ValueError: an option is wrong.
        """
        return str(self._control("cases", options)["cases"][0])

    def act_on_case(self, case_id: str, action: str, **options: Any) -> dict[str, Any]:
        """Carry out an action, such as "receive" or "approve", and return the case's status.

        Raises:
            ValueError: there is no such case or action, or it is not possible now.
        """
        return self._control(f"cases/{case_id}/{action}", options)

    def _control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        client = self._served.sandbox_app.test_client(use_cookies=False)
        response = client.post(f"{self.url}/sandbox/{path}", json=body)
        received: dict[str, Any] = response.get_json()
        if response.status_code != 200:
            raise ValueError(received["Message"])
        return received

    @property
    def _served(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the sandbox is not running")
        return self._listener

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()


def _checked_uri(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname or "#" in uri:
        raise ValueError(f"{uri!r} is not an absolute http or https address without a fragment")
    return uri


def _sign_in_data(account: Account) -> dict[str, str]:
    return {"username": account.email, "password": account.password}
