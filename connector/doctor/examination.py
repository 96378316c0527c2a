"""The doctor: a list of checks, each ok, a warning or failed, with what cures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as LateError
from functools import partial

from connector.doctor import connection as doctor_connection
from connector.doctor import here as doctor_here
from connector.doctor import provider as doctor_provider
from connector.doctor.checkup import Check, Result, failed, start
from connector.errors import ConnectorError
from connector.refresh import Refresher
from connector.resources import Resources

__all__ = ["Check", "Result", "examine"]

_SECONDS = 45.0
_Look = Callable[[], list[Check]]


def examine(
    resources: Resources, refresher: Callable[[], Refresher], practice_id: str | None
) -> Iterator[Check]:
    """Yield one check after the other; none takes longer than 45 seconds, and none shows a secret.

    Args:
        resources: what to look at; nothing has to be set for it.
        refresher: gives access tokens; made where a connection is looked at.
        practice_id: whose connection; None: a glance at all of them.
    """
    failures: set[str] = set()
    for name, look, needs in _looks(resources, refresher, practice_id):
        # What cannot work without something that has failed already would only say the same again.
        if failures.isdisjoint(needs):
            for check in _bounded(name, look):
                if check.result is Result.FAILED:
                    failures.add(name)
                yield check


def _looks(
    resources: Resources, refresher: Callable[[], Refresher], practice_id: str | None
) -> list[tuple[str, _Look, set[str]]]:
    outside = {"settings", "discovery", "hosts"}
    looks: list[tuple[str, _Look, set[str]]] = [
        ("settings", partial(doctor_here.settings, resources), set()),
        ("store", partial(doctor_here.store, resources), set()),
        ("discovery", partial(doctor_provider.discovery, resources), {"settings"}),
        ("hosts", partial(doctor_provider.hosts, resources), {"settings", "discovery"}),
        ("client", partial(doctor_provider.client, resources), outside),
        ("client_secret", partial(doctor_provider.client_secret, resources), outside),
        ("browser", partial(doctor_here.browser, resources), set()),
        ("display", doctor_here.display, set()),
    ]
    if practice_id is None:
        glance = partial(doctor_connection.all_connections, resources)
        return [*looks, ("connections", glance, {"store"})]
    look = partial(doctor_connection.state, resources, practice_id)
    use = partial(doctor_connection.use, resources, refresher, practice_id)
    return [*looks, ("connection", look, {"store"}), ("grant", use, {"store", "connection", *outside})]


def _bounded(name: str, look: _Look) -> list[Check]:
    """Look, and report whatever goes wrong; what hangs is left to itself."""
    try:
        return start(look).result(_SECONDS)
    except ConnectorError as exc:
        return [failed(name, exc)]
    except LateError:
        return [failed(name, ConnectorError(f"no result within {_SECONDS:g} seconds", hint="Try again."))]
    except Exception as exc:
        # The message of an error that nobody foresaw could hold anything.
        what = f"something unexpected happened ({type(exc).__name__})"
        return [failed(name, ConnectorError(what, hint="Report it, with what was run and where."))]
