"""Run the example: several worker processes on one store, against a sandbox unless ORMCO_PROVIDER is set."""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from web import PEOPLE
from workers import run_workers

from connector.sandbox import Sandbox


def main() -> None:
    """Bind the port, start what is needed, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="scripts/example/run", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="port on this machine (8000); 0: a free one")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (2)")
    parser.add_argument("--url", help="the address that people use, if it differs because of a proxy")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with socket.create_server(("127.0.0.1", options.port)) as bound, ExitStack() as stack:
        url = (options.url or f"http://127.0.0.1:{bound.getsockname()[1]}").rstrip("/")
        if not os.environ.get("ORMCO_PROVIDER"):
            stack.enter_context(_sandbox(url))
        _introduce(url, bound.getsockname()[1])
        try:
            run_workers(bound, url=url, count=options.workers)
        except KeyboardInterrupt:
            print()


@contextmanager
def _sandbox(url: str) -> Iterator[None]:
    """Start a sandbox that redirects browsers here. It has no earlier grants, so the store is new too."""
    with (
        Sandbox(redirect_uris=[f"{url}/3shape/connected"]) as sandbox,
        tempfile.TemporaryDirectory(prefix="ormco-example-", ignore_cleanup_errors=True) as folder,
    ):
        found = sandbox.description
        os.environ |= {
            "ORMCO_PROVIDER": found["provider_file"],
            "ORMCO_CLIENT_ID": found["client_id"],
            "ORMCO_CLIENT_SECRET": found["client_secret"],
        }
        os.environ.setdefault("ORMCO_STORE", f"sqlite:///{folder}/connections.db")
        os.environ.setdefault("ORMCO_STORE_KEYS", base64.b64encode(secrets.token_bytes(32)).decode("ascii"))
        print(f"3Shape, imitated: {found['portal_url']}")
        for practice in ("practice", "other_practice"):
            print(f"  sign in there as {found[practice]['username']}, password {found[practice]['password']}")
        yield


def _introduce(url: str, port: int) -> None:
    print(f"The example: {url}")
    if not url.endswith(f":{port}"):
        print(f"  behind a proxy that sends its Host to http://127.0.0.1:{port}")
    for name, (_, password) in PEOPLE.items():
        print(f"  sign in here as {name}, password {password}")
    print("Ctrl-C ends it.", flush=True)


if __name__ == "__main__":
    main()
