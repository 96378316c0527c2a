"""The pages as a WSGI and an ASGI application of another framework."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from werkzeug.test import Client

from connector import Connector
from connector.web import asgi_app, practice_pages, wsgi_app
from tests.support.sandbox import RunningSandbox, hidden_value

SECRET = b"a server secret, the same on every app server"


def test_wsgi_application_below_a_prefix(connector: Connector, classic: RunningSandbox) -> None:
    """Links and forms stay below the path at which Django or a dispatcher mounts it."""
    pages = practice_pages(connector, practice_of=lambda request: request.environ["practice"])
    client = Client(wsgi_app(pages, secret=SECRET))
    options = {"base_url": "http://app.test/3shape", "environ_overrides": {"practice": "practice-42"}}
    page = client.get("/", **options)
    assert 'action="/3shape/paste"' in page.text
    sent = client.post("/connect-elsewhere", data={"form_token": hidden_value(page)}, **options)
    assert sent.location.startswith(classic.url)


def test_asgi_application_below_a_prefix(connector: Connector, classic: RunningSandbox) -> None:
    """The same within FastAPI or Starlette, which name the prefix `root_path`."""
    pages = practice_pages(connector, practice_of=lambda request: request.headers.get("X-Practice"))
    app: Any = asgi_app(pages, secret=SECRET)
    transport = httpx.ASGITransport(app, root_path="/3shape")

    async def visit() -> tuple[httpx.Response, httpx.Response]:
        options = {"base_url": "http://app.test", "headers": {"X-Practice": "practice-42"}}
        async with httpx.AsyncClient(transport=transport, **options) as client:  # type: ignore[arg-type]
            page = await client.get("/3shape/")
            data = {"form_token": hidden_value(page)}
            return page, await client.post("/3shape/connect-elsewhere", data=data)

    page, sent = asyncio.run(visit())
    assert 'action="/3shape/paste"' in page.text
    assert sent.headers["Location"].startswith(classic.url)
