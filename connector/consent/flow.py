"""Consent in one call: a capture opens the authorization URL and returns the redirect URL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from connector.connection import AccountPolicy, Connection
from connector.consent.completion import complete
from connector.consent.preparation import Progress, open_request, prepare
from connector.consent.request_match import Captured
from connector.redirect.parse import CapturedUrl
from connector.resources import Resources

__all__ = ["Capture", "ConsentOptions", "connect"]

# Called as capture(url, redirect_uri=…). Returns the redirect URL, or a context manager with it, which stays
# open until the connection is stored or has failed, so that a window can show the person the result.
Capture = Callable[..., str | AbstractContextManager[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentOptions:
    """Options for consent in one call.

    Attributes:
        capture: opens the authorization URL and returns the redirect URL. If it has them, `check_settings` is
            called before anything else, and `check` before a person is asked.
        policy: which account is acceptable.
        progress: called with the name of each step as it is done: "settings", "store", "provider", "ready",
            "consent", "code", "tokens", "account".
    """

    capture: Capture
    policy: AccountPolicy = field(default_factory=AccountPolicy)
    progress: Progress = lambda step: None


def connect(resources: Resources, practice_id: str, options: ConsentOptions) -> Connection:
    """Get consent through a capture and store the connection; a failed attempt leaves no open request.

    Raises:
        connector.errors.ConnectorError: as `begin`, `complete` and the capture do.
    """
    # Find, before the practice is asked for consent, what would fail only afterwards.
    _ask_capture(options, "check_settings")
    request = prepare(resources, practice_id, policy=options.policy, progress=options.progress)
    _ask_capture(options, "check")
    options.progress("ready")
    try:
        open_request(resources, request)
        capture = options.capture(request.url, redirect_uri=request.redirect_uri)
        with nullcontext(capture) if isinstance(capture, str) else capture as redirect_url:
            own = isinstance(redirect_url, CapturedUrl)
            captured = Captured(request=request, at=resources.clock.utc_now(), by_own_browser=own)
            return complete(
                resources, redirect_url, practice_id=practice_id, captured=captured, progress=options.progress
            )
    except BaseException:
        resources.store.requests.take(request.state)
        raise


def _ask_capture(options: ConsentOptions, check: str) -> None:
    if hasattr(options.capture, check):
        getattr(options.capture, check)()
