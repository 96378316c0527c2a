"""The Applications page for tests without a browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.sandbox import RunningSandbox, SignIn, Visitor


@dataclass
class PageVisitor:
    """Removes Ormco on the sandbox's Applications page by HTTP, after calling `first`; counts its visits."""

    sandbox: RunningSandbox
    who: SignIn | None = None
    first: Callable[[], object] = lambda: None
    visits: list[str | None] = field(default_factory=list)

    def __call__(self, url: str, *, account: str | None) -> bool:
        """Visit the page; return whether Ormco was listed."""
        self.visits.append(account)
        self.first()
        visitor = Visitor(self.sandbox)
        page = visitor.sign_in(url, self.who)
        if "Remove Ormco" not in page.text:
            return False
        visitor.submit(
            visitor.open(f"{url}?remove={self.sandbox.client_id}"), application=self.sandbox.client_id
        )
        return True


def visitor_capture(sandbox: RunningSandbox, who: SignIn | None = None) -> Callable[..., str]:
    """Return a capture that allows access by HTTP."""

    def capture(url: str, *, redirect_uri: str) -> str:
        return sandbox.authorize(url, who=who)

    return capture


def no_capture(url: str, *, redirect_uri: str) -> str:
    """Be a capture that must not be called."""
    raise AssertionError("consent was asked for")


def without_users(sandbox: RunningSandbox, folder: Path, *, url: str = "http://127.0.0.1:9") -> str:
    """Return a provider file of the same provider with another users API, by default one that is down."""
    text = Path(sandbox.provider_file).read_text("utf-8")
    own = f'users_url = "{sandbox.url}"'
    assert own in text
    path = folder / "without-users.toml"
    path.write_text(text.replace(own, f'users_url = "{url}"'), "utf-8")
    return str(path)
