"""The doctor: a list of checks, each ok, a warning or failed, with its cure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import TimeoutError as LateError
from functools import partial

from connector.doctor import connection_checks, local_checks, provider_checks
from connector.doctor.check import Check, Result, failed, start
from connector.errors import ConnectorError
from connector.refresh import AccessTokens
from connector.resources import Resources

__all__ = ["ALL_CHECKS", "Check", "Result", "examine"]

_SECONDS = 45.0
_Look = Callable[[], list[Check]]

_OUTSIDE = frozenset({"settings", "discovery", "hosts"})
# Check → the checks that it depends on: if one of them fails, it would only report the same failure again.
_NEEDS: Mapping[str, frozenset[str]] = {
    "settings": frozenset(),
    "store": frozenset(),
    "discovery": frozenset({"settings"}),
    "hosts": frozenset({"settings", "discovery"}),
    "client": _OUTSIDE,
    "client_secret": _OUTSIDE,
    "browser": frozenset(),
    "browser_start": frozenset({"browser"}),
    "display": frozenset(),
    "connections": frozenset({"store"}),
    "connection": frozenset({"store"}),
    "grant": frozenset({"store", "connection", *_OUTSIDE}),
}
ALL_CHECKS = frozenset(_NEEDS)
# A health check must neither start programs nor call the token endpoint.
_ONLY_IF_ASKED = frozenset({"browser_start", "client_secret"})


def examine(
    resources: Resources,
    tokens: Callable[[], AccessTokens],
    practice_id: str | None,
    *,
    only: Collection[str] | None = None,
) -> Iterator[Check]:
    """Yield the result of each check; none takes longer than 45 seconds or shows a secret.

    Args:
        resources: settings, provider and store to check; no setting is required.
        tokens: returns the source of access tokens; called only to check a connection.
        practice_id: the practice to check the connection of; None: a summary of all connections.
        only: names of the checks to run, of `ALL_CHECKS`; None: all but those that start a browser
            ("browser_start") or call the token endpoint ("client_secret").

    Raises:
        ValueError: there is no check with such a name.
    """
    wanted = ALL_CHECKS - _ONLY_IF_ASKED if only is None else frozenset(only)
    if unknown := wanted - ALL_CHECKS:
        raise ValueError(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(_NEEDS)}")
    failures: set[str] = set()
    for name, look in _looks(resources, tokens, practice_id).items():
        if name in wanted and failures.isdisjoint(_NEEDS[name]):
            for check in _bounded(name, look):
                if check.result is Result.FAILED:
                    failures.add(name)
                yield check


def _looks(
    resources: Resources, tokens: Callable[[], AccessTokens], practice_id: str | None
) -> Mapping[str, _Look]:
    looks: dict[str, _Look] = {
        "settings": partial(local_checks.settings, resources),
        "store": partial(local_checks.store, resources),
        "discovery": partial(provider_checks.discovery, resources),
        "hosts": partial(provider_checks.hosts, resources),
        "client": partial(provider_checks.client, resources),
        "client_secret": partial(provider_checks.client_secret, resources),
        "browser": partial(local_checks.browser, resources),
        "browser_start": partial(local_checks.browser_start, resources),
        "display": local_checks.display,
    }
    if practice_id is None:
        return looks | {"connections": partial(connection_checks.all_connections, resources)}
    return looks | {
        "connection": partial(connection_checks.state, resources, practice_id),
        "grant": partial(connection_checks.use, resources, tokens, practice_id),
    }


def _bounded(name: str, look: _Look) -> list[Check]:
    """Run a check, and report every error; stop waiting for a check that hangs."""
    try:
        return start(look).result(_SECONDS)
    except ConnectorError as exc:
        return [failed(name, exc)]
    except LateError:
        return [failed(name, ConnectorError(f"no result within {_SECONDS:g} seconds", hint="Try again."))]
    except Exception as exc:
        # The message of an unexpected error could contain anything, even a secret.
        what = f"something unexpected happened ({type(exc).__name__})"
        return [failed(name, ConnectorError(what, hint="Report it, with the command and the system."))]
