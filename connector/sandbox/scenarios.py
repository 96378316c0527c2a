"""What the sandbox can be told to do differently, by name."""

from __future__ import annotations

from collections.abc import Iterable

from connector.sandbox.case_scenarios import CASE_SCENARIOS

__all__ = ["SCENARIOS", "check_scenarios"]

SCENARIOS: dict[str, str] = {
    "deny": "whatever is pressed on the Authorize page, the answer is error=access_denied",
    "popup": "the Authorize page opens in a window of its own",
    "redirect-chain": "three redirects (303, 302, 307) before the one to the redirect URI",
    "error-page": "the provider shows an error page of its own and never returns",
    "landing-down": "nothing changes here: the landing site is not part of the sandbox and never answers",
    "slow": "the token endpoint and the APIs answer after `slow_seconds`",
    "outage": "every page and endpoint of the provider answers 502 with HTML; OrmcoDigital stays up",
    "empty-401": "the token endpoint and the APIs answer 401 with no body",
    "text-500": "the token endpoint and the APIs answer 500 with a line of text",
    "captive-portal": "the token endpoint and the APIs answer 200 with somebody's HTML login page",
    "rate-limited": "the token endpoint and the APIs answer 429 with Retry-After",
    "lost-answer": "a refresh rotates the refresh token, then the connection is dropped",
    "cut-answer": "every answer of the token endpoint stops in the middle of its JSON",
    "no-rotation": "a refresh answers without a refresh token; the old one stays good",
    "reuse-revokes": "an old refresh token that is sent again ends the whole grant",
    "no-refresh-token": "the exchange answers without a refresh token",
    "scope-shrinks": "less scope is granted than was asked for",
    "short-lived": "access tokens live five seconds",
    "revoked": "the practice removed the application: every refresh answers invalid_grant",
    "pending-lab": "the lab never approves by itself",
    "other-account": "whoever signs in gets the other practice's account",
    "page-changed": "the Authorize page has other words",
    "no-cancel": "the Authorize page has no Cancel button",
    **CASE_SCENARIOS,
}


def check_scenarios(names: Iterable[str]) -> frozenset[str]:
    """Return the names as a set.

    Raises:
        ValueError: if there is no scenario of such a name.
    """
    chosen = frozenset(names)
    if unknown := sorted(chosen - SCENARIOS.keys()):
        raise ValueError(f"there is no scenario {', '.join(map(repr, unknown))}")
    return chosen
