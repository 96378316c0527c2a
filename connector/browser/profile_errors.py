"""The ways in which connecting OrmcoDigital's My Profile fails, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.errors import (
    CodeRefusedError,
    ConnectorError,
    PageChangedError,
    ProviderErrorPageError,
    ProviderUnavailableError,
    RequestExpiredError,
    SettingError,
)

if TYPE_CHECKING:
    from connector.browser.session import Words

__all__ = [
    "dialog_refused",
    "elsewhere",
    "failed",
    "no_browser",
    "not_as_known",
    "not_saved",
    "session_ended",
    "sign_in_refused",
    "update_refused",
    "words",
]

_AGAIN = "Start again"
_BY_HAND = (
    "Do it by hand, by the guide's steps 1 to 10; the dialog takes the code as `dialog_code` of"
    " parse_redirect and the code page give it."
)


def words() -> Words:
    """Return what a session at OrmcoDigital calls its ends."""
    from connector.browser.session import Words

    return Words(
        closed="before the profile was saved",
        close_hint="Start again, and leave the window open until it closes by itself.",
        nobody="nobody signed in to OrmcoDigital",
        hints={
            ProviderErrorPageError: "Open ORMCO_DIGITAL_URL in a browser of your own to check it. If the page"
            " is 3Shape's, OrmcoDigital's own link led there: tell Ormco's support.",
        },
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
        hint="Install Chrome or Chromium, or set ORMCO_BROWSER; without a display, run without a window, with"
        f" the credentials in the environment. {_BY_HAND}",
    )


def elsewhere(redirect_uri: str) -> SettingError:
    """The link of the dialog asks for the code to be sent where it cannot be caught."""
    return SettingError(
        f"OrmcoDigital has 3Shape send the code to {redirect_uri}, where it would not be caught",
        hint=f"Set ORMCO_REDIRECT_URI to {redirect_uri}",
    )


def dialog_refused(words: str) -> CodeRefusedError:
    """*Ok* did not take the code."""
    said = f': "{words}"' if words else "; it stays open and says nothing"
    return CodeRefusedError(
        f"the dialog did not take the code{said}",
        hint=f"{_AGAIN}: a code is good for about three minutes. If it happens again, tell Ormco's support.",
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
            f"OrmcoDigital refused {what} (status {status}); the profile is not saved", hint=f"{_AGAIN}."
        )
    return ProviderUnavailableError(
        f"OrmcoDigital failed at {what} (status {status}); the profile is not saved",
        hint=f"Wait a little. {_AGAIN}.",
    )


def update_refused(words: str) -> ConnectorError:
    """*Update* was pressed, and the page says why that was in vain."""
    message = f'OrmcoDigital did not save the profile: "{words}"'
    if any(word in words.lower() for word in ("code", "authoriz", "3shape", "3 shape")):
        return CodeRefusedError(message, hint=f"{_AGAIN}: a code is good for about three minutes, once.")
    return ProviderErrorPageError(message, hint=f"Put that right on My Profile, and select Update. {_AGAIN}.")


def not_saved(method: str) -> PageChangedError:
    """My Profile was loaded anew, and is not as it was saved."""
    return PageChangedError(
        f'after Update, the Submission Method is {method or "empty"}, not "3Shape Trios": it was not saved',
        hint=_BY_HAND,
    )
