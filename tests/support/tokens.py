"""Access tokens as a connector hands them out, without a connector."""

from __future__ import annotations

from connector.errors import ProviderUnavailableError


class FakeTokens:
    """Hands out AT-0; a rejected one is renewed, unless it just was, or `failure` is raised."""

    def __init__(self) -> None:
        self.number = 0
        self.refreshed = 0
        self.failure: Exception | None = None
        self._renewed_for_rejection: int | None = None

    def __call__(self, rejected: str | None) -> str:
        if rejected == f"AT-{self.number}":
            if self.failure is not None:
                raise self.failure
            if self._renewed_for_rejection == self.number:
                raise ProviderUnavailableError("the token has just been renewed")
            self.number += 1
            self.refreshed += 1
            self._renewed_for_rejection = self.number
        return f"AT-{self.number}"
