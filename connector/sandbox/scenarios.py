"""The scenarios: changes of the sandbox's behaviour, by name."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["CASE_SCENARIOS", "SCENARIOS", "check_scenarios"]

CASE_SCENARIOS = {
    "expired-500": "the metadata API responds to an expired token with 500, not 401",
    "broken-case": "the first case in the sandbox is listed, but always answers 500 when it is read",
    "wrong-date": "the Date header of the APIs is one day ahead",
    "late-updates": "new cases and updates are dated `late_seconds` back, as if they had become visible late",
    "cases-move": "while the list is read page by page, older cases are updated and jump to its top",
    "cases-vanish": "while the list is read page by page, cases leave it",
    "bare-actors": "the actors of a case have an id and roles, but no e-mail address and no name",
    "odd-values": "cases have unknown fields, states and types, and fields of the wrong type",
    "no-updated-on": "cases have no UpdatedOn and no ReceivedOn, as in 2016",
    "versions-gone": "earlier versions of a case are missing",
    "no-servers": "/api/servers does not exist",
    "other-servers": "/api/servers names another region than the account's",
    "foreign-servers": "/api/servers names a host that is not the provider's",
    "foreign-hrefs": "the Href of a file leads to a host that is not the provider's",
    "hostile-names": "attachments of cases sent from now on have names that try to leave the folder",
    "no-hash": "files have no SHA-1",
    "changing-file": "files have no SHA-1, and a file's content changes after its first download",
    "cut-download": "a download stops after 7,000 bytes, and so does each request for the rest",
    "slow-download": "a download sends one byte every `slow_seconds`",
    "short-range": "if the rest of a file is requested, the API sends only a part of it",
    "no-range": "a download always begins at the first byte, even if a part is requested",
    "damaged-download": "a byte of every download is wrong",
    "download-redirect": "a download is answered 302 to another origin, which refuses a bearer token",
    "no-stl": "the lab's own account has no access to STL files either",
}

SCENARIOS = {
    "deny": "every button of the Authorize page is answered with error=access_denied",
    "popup": "the Authorize page opens in a new window",
    "redirect-chain": "three redirects (303, 302, 307) before the one to the redirect URI",
    "landing-frame": "the Authorize page has frames that load the landing host with a code and with errors",
    "error-page": "the provider shows its own error page and never redirects back",
    "landing-down": "no effect: the landing site is not part of the sandbox and never responds",
    "slow": "the token endpoint and the APIs answer after `slow_seconds`",
    "outage": "every page and endpoint of the provider answers 502 with HTML; OrmcoDigital stays up",
    "empty-401": "the token endpoint and the APIs answer 401 without a body",
    "text-500": "the token endpoint and the APIs answer 500 with a line of text",
    "captive-portal": "the token endpoint and the APIs answer 200 with an HTML login page of a guest network",
    "html-token": "only the token endpoint answers 200 with HTML",
    "endless-401": "the APIs refuse every access token with 401; the token endpoint works",
    "rate-limited": "the token endpoint and the APIs answer 429 with Retry-After",
    "early-hints": "every response of the provider comes after 103 Early Hints",
    "lost-answer": "a refresh rotates the refresh token, then the connection is dropped",
    "cut-answer": "every response of the token endpoint stops in the middle of its JSON",
    "no-rotation": "a refresh answers without a refresh token; the old one stays valid",
    "reuse-revokes": "an old refresh token that is sent again ends the whole grant",
    "refused-codes": "every code is refused",
    "stale-grant": "every code is refused until the practice removes the application on its page",
    "no-refresh-token": "the exchange answers without a refresh token",
    "scope-shrinks": "less scope is granted than requested",
    "short-lived": "access tokens live five seconds",
    "revoked": "the practice removed the application: every refresh answers invalid_grant",
    "pending-lab": "the lab never approves by itself",
    "other-account": "every sign-in leads to the other practice's account",
    "page-changed": "the Authorize page has other words",
    "no-cancel": "the Authorize page has no Cancel button",
    **CASE_SCENARIOS,
}


def check_scenarios(names: Iterable[str]) -> frozenset[str]:
    """Return the names as a set.

    Raises:
        ValueError: a name is unknown.
    """
    chosen = frozenset(names)
    if unknown := sorted(chosen - SCENARIOS.keys()):
        raise ValueError(f"there is no scenario {', '.join(map(repr, unknown))}")
    return chosen
