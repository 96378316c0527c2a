"""Mounts for other frameworks: a blueprint as a WSGI or an ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from a2wsgi import WSGIMiddleware
    from flask import Blueprint

__all__ = ["asgi_app", "wsgi_app"]


def wsgi_app(blueprint: Blueprint, *, secret: bytes) -> Flask:
    """Return a WSGI application for a blueprint, for Django, Pyramid or a dispatcher.

    Args:
        blueprint: `practice_pages(…)` or `desk_pages(…)`.
        secret: server secret, the same on every app server.
    """
    app = Flask("ormco_pages", static_folder=None)
    app.config.update(
        SECRET_KEY=secret,
        SESSION_COOKIE_NAME=f"{blueprint.name}-messages",
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=256 * 1024,
    )
    app.register_blueprint(blueprint)
    return app


def asgi_app(blueprint: Blueprint, *, secret: bytes, workers: int = 8) -> WSGIMiddleware:
    """Return an ASGI application for a blueprint, for FastAPI or Starlette: `app.mount("/3shape", …)`.

    Args:
        blueprint: `practice_pages(…)` or `desk_pages(…)`.
        secret: server secret, the same on every app server.
        workers: the maximum number of threads that serve requests.
    """
    from a2wsgi import WSGIMiddleware

    app: Any = wsgi_app(blueprint, secret=secret)
    return WSGIMiddleware(app, workers=workers)
