"""Serves a sandbox on a loopback port, from a thread of this process."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from connector.sandbox.accounts import LABS_OF_ORMCO, OTHER_PRACTICE, PRACTICE, Account
from connector.sandbox.clients import CLIENT_ID, PUBLIC_CLIENT_ID, client_secret
from connector.sandbox.provider_file import provider_toml

if TYPE_CHECKING:
    from connector.sandbox.listener import Listener
    from connector.sandbox.world import World

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
        redirect_uris: registered beside `https://ormco.com/`, each compared byte for byte.
        approval_seconds: how long Ormco's lab takes to approve a connection; None: until someone does.

    Raises:
        ValueError: if there is no such generation or scenario.
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
        approval_seconds: float | None = 5,
    ) -> None:
        from connector.sandbox.scenarios import check_scenarios

        if generation not in _GENERATIONS:
            raise ValueError(f"there is no generation {generation!r}")
        self.generation = generation
        self._port = port
        self._scenarios = check_scenarios(scenarios)
        self._redirect_uris = (_REDIRECT_URI, *redirect_uris)
        self._approval_seconds = approval_seconds
        self._listener: Listener | None = None
        self._folder: Path | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Sandbox:
        """Listen and serve.

        Raises:
            OSError: if the port is taken.
        """
        from connector.sandbox.app import create_app
        from connector.sandbox.listener import Listener
        from connector.sandbox.world import World

        if self._listener is not None:
            return self
        with socket.create_server((_LOOPBACK, self._port)) as bound:
            world = World(
                self.generation,
                base_url=f"http://{_LOOPBACK}:{bound.getsockname()[1]}",
                redirect_uris=self._redirect_uris,
                scenarios=self._scenarios,
                approval_seconds=self._approval_seconds,
            )
            self._listener = Listener(world, create_app(world), bound)
        self._folder = Path(tempfile.mkdtemp(prefix="ormco-sandbox-"))
        toml = provider_toml(self.generation, world.base_url)
        (self._folder / "provider.toml").write_text(toml, encoding="utf-8")
        self._thread = threading.Thread(target=self._listener.serve_forever, name="sandbox", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving, cut every connection and forget everything."""
        if self._listener is not None and self._thread is not None:
            self._listener.close()
            self._thread.join()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._listener = self._thread = self._folder = None

    @property
    def url(self) -> str:
        """The sandbox's origin."""
        return self._world.base_url

    @property
    def description(self) -> dict[str, Any]:
        """What a client or a person needs to use this sandbox, ready for JSON."""
        url, folder = self.url, self._folder
        return {
            "generation": self.generation,
            "provider_file": str(folder / "provider.toml") if folder else None,
            "client_id": CLIENT_ID,
            "client_secret": client_secret(self.generation),
            "redirect_uri": _REDIRECT_URI,
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
            ValueError: if there is no scenario of such a name.
        """
        with self._world.lock:
            self._world.set_scenarios(names)

    @property
    def _world(self) -> World:
        if self._listener is None:
            raise RuntimeError("the sandbox is not running")
        return self._listener.world

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _sign_in_data(account: Account) -> dict[str, str]:
    return {"username": account.email, "password": account.password}
