"""The examples in the docstrings of the calls that are used most, run in the order of a practice's life."""

from __future__ import annotations

import doctest
import os
from collections.abc import Callable
from typing import Any

import pytest

from connector import Config, Connector, WatchPlan
from connector.communicate.cases import Cases
from tests.support.connecting import settings
from tests.support.sandbox import RunningSandbox

CALLS: list[Callable[..., Any]] = [
    *(Connector.from_config, Connector.begin, Connector.complete, Connector.access_token, Connector.session),
    *(Connector.on_call, Cases.watch, Connector.events, Connector.repair, Connector.revoke),
]


def test_examples_of_the_most_used_calls(
    connector: Connector, identity: RunningSandbox, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examples in docstrings do what they show."""
    env = settings(identity, store_url)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {
        "Config": Config,
        "Connector": Connector,
        "WatchPlan": WatchPlan,
        "os": os,
        "connector": connector,
        "session_id": "session-1",
        "answer_of": identity.authorize,
        "users_url": identity.url,
    }
    for call in CALLS:
        example = doctest.DocTestParser().get_doctest(call.__doc__ or "", names, call.__name__, None, None)
        assert example.examples, call.__name__
        shown: list[str] = []
        result = doctest.DocTestRunner(verbose=False).run(example, out=shown.append, clear_globs=False)
        assert result.failed == 0, "".join(shown)
        names |= {known: value for known, value in example.globs.items() if known != "connector"}
