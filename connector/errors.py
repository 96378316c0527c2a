"""Every error this package raises.

```
ConnectorError
├── AuthorizationResponseError          the response cannot be used
│   ├── CodeMissingError                no code in it
│   ├── CodeDamagedError                an incomplete code: cut short, or damaged inside
│   ├── AmbiguousResponseError          two codes, a repeated parameter, code and error together
│   ├── WrongAddressError               the address of another page or host
│   ├── StateMismatchError              not the response to the open request
│   ├── CodeSpentError                  this store has used the code before
│   ├── CodeRefusedError                the provider did not accept the code
│   ├── RequestExpiredError             the request or the code is too old
│   └── NobodyActedError                the time ran out before anyone acted
├── ConsentDeniedError                  the practice refused access
│   └── WindowClosedError               the browser window was closed
├── ProviderUnavailableError            network, timeout, 5xx, or a response that is not the provider's
├── NotFoundError
│   ├── ConnectionNotFoundError
│   ├── CaseNotFoundError
│   ├── LabConnectionNotFoundError
│   └── StillWaitingError               the wait ended before the other side acted
├── GrantError
│   ├── GrantRefusedError               the provider refused a refresh token
│   ├── NeedsRepairError                the grant is dead, or cannot be refreshed
│   ├── ConsentRequiredError            a person has to give or take access
│   ├── RevokedError                    the connection was revoked here
│   └── GrantStillHonouredError         a grant that should be dead still works
├── AccountMismatchError                another Communicate account than expected
├── AccountUnconfirmedError             a person has to confirm the account
├── StoreError
│   ├── StoreUnavailableError           cannot be opened, read or written
│   ├── StoreLockedError                another process kept it for too long
│   ├── StoreDamagedError               stored data is damaged
│   └── SealingKeyError                 the key is missing, wrong or malformed
└── ConfigurationError
    ├── SettingError                    settings are missing, malformed or contradictory
    ├── ClientRefusedError              the provider does not accept the client registration
    ├── ProviderErrorPageError          the provider showed its own error page
    ├── PageChangedError                a page no longer has the expected words or buttons
    ├── BrowserUnavailableError         no browser, or one that does not start
    └── ExtraMissingError               an optional part of the package is not installed
```

The message states the fact and contains no secret. `hint` says what a person can do next, `action` what a
program can do:

```python
try:
    token = connector.access_token("practice-42")
except ConnectorError as error:
    if error.action in (Action.RETRY, Action.WAIT):
        queue.retry_in(error.retry_after or 60)
    elif error.action is Action.ASK_CONSENT:
        send_to_person(connector.begin("practice-42", binding=session_id).url)
    else:
        log.error("%s: %s", error.kind, error.hint)
```
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """A step that a program can take after an error."""

    RETRY = "retry"  # call again, with a growing pause
    WAIT = "wait"  # call again, after `retry_after` seconds if that is known
    ASK_CONSENT = "ask_consent"  # send the person through `begin` again
    RECONNECT = "reconnect"  # revoke the old grant, then connect from the start
    FIX_SETTINGS = "fix_settings"  # settings, registration or installation
    CALL_SUPPORT = "call_support"  # a program can do nothing


class ConnectorError(Exception):
    """Base of all errors of this package.

    Args:
        message: the fact, without any secret.
        hint: what a person can do next; empty if there is nothing to do.
        action: what a program can do; by default the class's own.
        retry_after: seconds to wait before another attempt, or None.
        practice_id: the practice that the error is about, or None.

    Attributes:
        state: the `state` of the authorization request that the provider refused with this error; None for
            every other error.
    """

    action: Action = Action.CALL_SUPPORT
    state: str | None = None

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        action: Action | None = None,
        retry_after: float | None = None,
        practice_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after = retry_after
        self.practice_id = practice_id
        if action is not None:
            self.action = action
        elif retry_after is not None and self.action is Action.RETRY:
            self.action = Action.WAIT

    @property
    def kind(self) -> str:
        """The class in snake case without "_error", as in JSON and in the audit record."""
        name = type(self).__name__.removesuffix("Error")
        return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


class AuthorizationResponseError(ConnectorError):
    """The authorization response cannot be used."""

    action = Action.ASK_CONSENT


class CodeMissingError(AuthorizationResponseError):
    """There is no authorization code in the text."""


class CodeDamagedError(AuthorizationResponseError):
    """The code is damaged or cut short, as its own structure shows; it was not sent to the provider.

    Attributes:
        length: characters of the decoded code as it was given.
        expected_length: characters the whole code has, or None if it is not known.
        position: index in the decoded code of the first character that cannot be right, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        length: int,
        expected_length: int | None = None,
        position: int | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.length = length
        self.expected_length = expected_length
        self.position = position


class AmbiguousResponseError(AuthorizationResponseError):
    """The text can be read in two ways, so it is refused."""


class WrongAddressError(AuthorizationResponseError):
    """The address is not the one to which the provider sends the browser back."""


class StateMismatchError(AuthorizationResponseError):
    """The response does not belong to the request that is open."""


class CodeSpentError(AuthorizationResponseError):
    """The code was sent to the provider before; it works only once."""


class CodeRefusedError(AuthorizationResponseError):
    """The provider did not accept the code."""


class RequestExpiredError(AuthorizationResponseError):
    """The authorization request, or its code, is too old."""


class NobodyActedError(AuthorizationResponseError):
    """Access was neither allowed nor refused before the time ran out."""


class ConsentDeniedError(ConnectorError):
    """The practice did not allow access."""

    action = Action.ASK_CONSENT


class WindowClosedError(ConsentDeniedError):
    """The browser window was closed before access was allowed."""


class ProviderUnavailableError(ConnectorError):
    """The provider did not give a usable response.

    Attributes:
        sent: whether the request may have reached the provider.
        answered: whether any response arrived, though not a usable one; if not, a response that granted
            something may be lost.
    """

    action = Action.RETRY

    def __init__(self, message: str, *, sent: bool = True, answered: bool = False, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.sent = sent
        self.answered = answered


class NotFoundError(ConnectorError):
    """The connection, case or lab connection does not exist, or not yet."""


class ConnectionNotFoundError(NotFoundError):
    """No connection is stored for this practice."""

    action = Action.ASK_CONSENT


class CaseNotFoundError(NotFoundError):
    """The provider has no such case, or does not show it to this account."""


class LabConnectionNotFoundError(NotFoundError):
    """The practice has no such lab connection."""


class StillWaitingError(NotFoundError):
    """The wait ended before the other side acted."""

    action = Action.WAIT


class GrantError(ConnectorError):
    """The grant does not have the state that the operation needs."""

    action = Action.ASK_CONSENT


class GrantRefusedError(GrantError):
    """The provider refused a refresh token.

    Attributes:
        certain: True if the response names a dead token; False if it can also have another cause.
    """

    def __init__(self, message: str, *, certain: bool, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.certain = certain


class NeedsRepairError(GrantError):
    """The grant is dead; only a new consent brings the connection back."""


class ConsentRequiredError(GrantError):
    """A person has to act on the provider's pages, and this call must not ask one."""


class RevokedError(GrantError):
    """The connection was revoked here, or is being revoked."""


class GrantStillHonouredError(GrantError):
    """The provider still honours a grant that should be dead."""

    action = Action.CALL_SUPPORT


class AccountMismatchError(ConnectorError):
    """The tokens belong to another Communicate account than expected."""

    action = Action.ASK_CONSENT


class AccountUnconfirmedError(ConnectorError):
    """The response had no state, so a person has to confirm its account.

    Attributes:
        account: the account that gave access (a `connector.Account`), or None if it was not read yet.
    """

    action = Action.ASK_CONSENT

    def __init__(self, message: str, *, account: Any = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.account = account


class StoreError(ConnectorError):
    """The store failed."""

    action = Action.RETRY


class StoreUnavailableError(StoreError):
    """The store cannot be opened, read or written."""


class StoreLockedError(StoreError):
    """Another process held the store, or a connection in it, for too long."""


class StoreDamagedError(StoreError):
    """A stored value is damaged."""

    action = Action.CALL_SUPPORT


class SealingKeyError(StoreError):
    """A sealing key is missing, malformed, or not the one this store was sealed with."""

    action = Action.FIX_SETTINGS


class ConfigurationError(ConnectorError):
    """A setting, an installation or a registration has to be corrected."""

    action = Action.FIX_SETTINGS


class SettingError(ConfigurationError):
    """Settings are missing, malformed or contradictory."""


class ClientRefusedError(ConfigurationError):
    """The provider does not accept the client id, its secret, or its request.

    Attributes:
        granted: whether the provider granted tokens that cannot be used: it may have replaced the refresh
            token that was sent.
    """

    granted: bool = False


class ProviderErrorPageError(ConfigurationError):
    """The provider showed its own error page and will not return to the application."""


class PageChangedError(ConfigurationError):
    """A page of the provider no longer has the expected words or buttons."""

    action = Action.CALL_SUPPORT


class BrowserUnavailableError(ConfigurationError):
    """No browser was found, or it does not start."""


class ExtraMissingError(ConfigurationError):
    """An optional part of the package is not installed."""
