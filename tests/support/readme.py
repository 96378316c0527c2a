"""Names that the README's Python examples assume, and the use of the names that they define."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import secrets
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx

from connector import Config, Connector
from tests.support.sandbox import SignIn, Visitor

CALLBACK = "http://localhost/connected"
session_id = secrets.token_hex(8)
connector = Connector.from_config(Config.from_env(os.environ))


def answer_of(authorization_url: str) -> str:
    """Give access as the practice of the environment, and return the redirect URL."""
    who = SignIn(os.environ["ORMCO_3SHAPE_USERNAME"], os.environ["ORMCO_3SHAPE_PASSWORD"])
    sandbox: Any = SimpleNamespace(url=authorization_url.partition("/oauth/")[0], practice=who)
    return Visitor(sandbox).authorize(authorization_url)


def use(example: dict[str, Any]) -> None:
    """Use the names of an example as it shows them, if they need a program around them."""
    if "app" in example:
        _use_fastapi(example["app"])
    elif "urlpatterns" in example:
        _use_django(example["urlpatterns"])
    elif "to_span" in example:
        _use_metrics(example["handler"])


def _use_fastapi(app: Any) -> None:
    async def visit() -> None:
        options: Any = {"transport": httpx.ASGITransport(app=app), "base_url": "http://localhost"}
        async with app.router.lifespan_context(app), httpx.AsyncClient(**options) as client:
            begun = await client.get("/connect/practice-9")
            response = await asyncio.to_thread(answer_of, begun.headers["Location"])
            assert (await client.get(response)).json()["state"] == "connected"

    asyncio.run(visit())


def _use_django(urlpatterns: list[Any]) -> None:
    import django
    from django.conf import settings
    from django.test import Client

    urls = ModuleType("urls")
    urls.urlpatterns = urlpatterns  # type: ignore[attr-defined]
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        ROOT_URLCONF=urls,
        SECRET_KEY=secrets.token_hex(),
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    )
    django.setup()
    client = Client(SERVER_NAME="localhost")
    response = answer_of(client.get("/connect/practice-9").headers["Location"])
    assert client.get(response.partition("localhost")[2]).content == b"connected"


def _use_metrics(handler: Any) -> None:
    import prometheus_client
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, log = InMemorySpanExporter(), io.StringIO()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    logging.getLogger("connector").setLevel(logging.INFO)
    handler.setStream(log)
    connector.complete(answer_of(connector.begin("practice-9", binding="s").url), binding="s")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert ("practice-9", "complete") in [(line["practice_id"], line["kind"]) for line in lines]
    assert 'operation="complete",outcome="answered"' in prometheus_client.generate_latest().decode()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert (spans["complete"].attributes or {})["http.response.status_code"] == 200
    assert (spans["complete"].end_time or 0) > (spans["complete"].start_time or 0)
