"""The ways a visit to OrmcoDigital's My Profile ends without the connection, in words."""

from __future__ import annotations

from connector.errors import (
    CodeRefusedError,
    ConnectorError,
    NobodyActedError,
    PageChangedError,
    ProviderErrorPageError,
    ProviderUnavailableError,
    RequestExpiredError,
    SettingError,
    WindowClosedError,
)

__all__ = [
    "dead_end",
    "dialog_refused",
    "elsewhere",
    "failed",
    "no_browser",
    "nobody_acted",
    "not_as_known",
    "not_saved",
    "session_ended",
    "sign_in_refused",
    "update_refused",
    "window_closed",
]

_AGAIN = "Start again: ormco profile connect"
_BY_HAND = (
    "Do it by hand, by the guide's steps 1 to 10; `ormco code --for-dialog` makes of the copied address what "
    "the dialog takes."
)


def window_closed() -> WindowClosedError:
    """A person closed the window."""
    return WindowClosedError(
        "the browser window was closed before the profile was saved",
        hint=f"{_AGAIN}, and leave the window open until it closes by itself.",
    )


def nobody_acted(seconds: float, waiting_for: str) -> NobodyActedError:
    """The time ran out."""
    duration = f"{seconds:g} seconds" if seconds < 120 else f"{seconds / 60:g} minutes"
    return NobodyActedError(
        f"{waiting_for} within {duration}; the profile is as it was",
        hint="Start again when somebody with the passwords is there; --timeout gives more time.",
    )


def not_as_known(missing: str) -> PageChangedError:
    """A page has other words than the guide."""
    return PageChangedError(f"OrmcoDigital's page has no {missing}", hint=_BY_HAND)


def sign_in_refused() -> SettingError:
    """Wrong credentials."""
    return SettingError(
        "OrmcoDigital did not accept the user name or password",
        hint="Check ORMCO_DIGITAL_USERNAME and ORMCO_DIGITAL_PASSWORD by signing in by hand.",
    )


def no_browser(error: ConnectorError) -> ConnectorError:
    """There is none, or it does not start."""
    return type(error)(
        error.message,
        hint="Install Chrome or Chromium, or set ORMCO_BROWSER; where there is no display, use --headless, "
        f"with the credentials in the environment. {_BY_HAND}",
    )


def elsewhere(redirect_uri: str) -> SettingError:
    """The link of the dialog asks for the code to be sent where it cannot be caught."""
    return SettingError(
        f"OrmcoDigital has 3Shape send the code to {redirect_uri}, where it would not be caught",
        hint=f"Set ORMCO_REDIRECT_URI to {redirect_uri}",
    )


def dead_end(error: ConnectorError) -> ConnectorError:
    """A page that leads nowhere, OrmcoDigital's own or one that its link led to."""
    if isinstance(error, ProviderErrorPageError):
        return ProviderErrorPageError(
            error.message,
            hint="Open ORMCO_DIGITAL_URL in a browser of your own to check it. If the page is 3Shape's, "
            "OrmcoDigital's own link led there: tell Ormco's support.",
        )
    return ProviderUnavailableError(error.message, hint=f"Wait a little. {_AGAIN}")


def dialog_refused(words: str) -> CodeRefusedError:
    """*Ok* did not take the code."""
    said = f': "{words}"' if words else "; it stays open and says nothing"
    return CodeRefusedError(
        f"the dialog did not take the code{said}",
        hint=f"{_AGAIN} (a code is good for about three minutes). If it happens again, tell Ormco's support.",
    )


def session_ended() -> RequestExpiredError:
    """OrmcoDigital wants a new sign-in."""
    return RequestExpiredError(
        "the session at OrmcoDigital ended before the profile was saved, and the code is lost",
        hint=f"{_AGAIN}, and allow access within a few minutes.",
    )


def failed(what: str, status: int) -> ConnectorError:
    """OrmcoDigital answered with an error."""
    if status in (401, 403, 419, 440):
        return session_ended()
    if status < 500:
        return ProviderErrorPageError(
            f"OrmcoDigital refused {what} (status {status}); the profile is not saved", hint=_AGAIN
        )
    return ProviderUnavailableError(
        f"OrmcoDigital failed at {what} (status {status}); the profile is not saved",
        hint=f"Wait a little. {_AGAIN}",
    )


def update_refused(words: str) -> ConnectorError:
    """*Update* was pressed, and the page says why that was in vain."""
    message = f'OrmcoDigital did not save the profile: "{words}"'
    if any(word in words.lower() for word in ("code", "authoriz", "3shape", "3 shape")):
        return CodeRefusedError(message, hint=f"{_AGAIN} (a code is good for about three minutes, once)")
    return ProviderErrorPageError(message, hint=f"Put that right on My Profile, and select Update. {_AGAIN}")


def not_saved(method: str) -> PageChangedError:
    """My Profile was loaded anew, and is not as it was saved."""
    return PageChangedError(
        f'after Update, the Submission Method is {method or "empty"}, not "3Shape Trios": it was not saved',
        hint=_BY_HAND,
    )
