"""Web pages: the code page, the landing page, the practice's page and the support desk.

`redirect/` is `connector.redirect` in JavaScript, module by module; both read the same JSON tables. The
application pages are Flask blueprints and need the extra `web`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.web.desk import desk_pages
    from connector.web.mount import asgi_app, wsgi_app
    from connector.web.practice import practice_pages
    from connector.web.support_person import Role, SupportPerson

__all__ = ["Role", "SupportPerson", "asgi_app", "desk_pages", "practice_pages", "wsgi_app"]

_MODULES = {
    "Role": "support_person",
    "SupportPerson": "support_person",
    "asgi_app": "mount",
    "desk_pages": "desk",
    "practice_pages": "practice",
    "wsgi_app": "mount",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import a public name on first use: the code page needs no Flask."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
