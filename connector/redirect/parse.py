"""Redirect URL, or whatever a person copied of it → a validated authorization response.

Only form is judged here: whether a code was used before, or is too old, is not to be seen in a text. How a
copied text is read is in the package `pasted`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from connector.errors import AuthorizationResponseError, CodeDamagedError, StateMismatchError
from connector.redirect.address import Landing, landing_of
from connector.redirect.code import check_code, decode, dialog_form, unusual_handle
from connector.redirect.result import Reading

__all__ = ["LONGEST_TEXT", "AuthorizationResponse", "parse_redirect", "text_too_long"]

LONGEST_TEXT = 65_536

# An address as browsers show it, in which nothing has to be guessed.
_PLAIN = re.compile(
    r"https?://([A-Za-z0-9.\-]+)(?::\d+)?(?:/[A-Za-z0-9/_\-]*)?"
    r"\?([A-Za-z0-9%!_~&=:/+.\-]*[A-Za-z0-9%!_~\-])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationResponse:
    """What the provider sent back through the browser (RFC 6749 §4.1.2).

    Attributes:
        code: fully decoded; whoever sends it encodes it once. Without damage, as far as that can be seen.
        format: dotnetopenauth, identityserver or unknown.
        complete: True for a code that is whole, None where it cannot tell.
        layers: how often the code was percent-encoded.
        state: decoded, or None where there is none.
        iss: the issuer (RFC 9207), or None.
        scope: what was granted, or None where the answer does not say.
        warning: what is unusual about the code, in words, or nothing.
    """

    code: str = field(repr=False)
    format: str
    complete: bool | None
    layers: int
    state: str | None = field(default=None, repr=False)
    iss: str | None = None
    scope: str | None = None
    warning: str = ""

    @property
    def length(self) -> int:
        """How many characters the code has."""
        return len(self.code)

    @property
    def dialog_code(self) -> str:
        """The code as OrmcoDigital's dialog takes it: percent-encoded once."""
        return dialog_form(self.code)


def parse_redirect(
    text: str,
    *,
    redirect_uri: str,
    expected_state: str | None = None,
    code_format: str | None = None,
    issuer: str | None = None,
    landing_hosts: Collection[str] = (),
) -> AuthorizationResponse:
    """Return the authorization response in a redirect URL, or in any text that a person copied it into.

    Args:
        text: the address, a part of it, or a text with it.
        redirect_uri: the registered one; its host is where the code has to come from.
        expected_state: the state of the open request, which the response then has to have.
        code_format: dotnetopenauth, identityserver or opaque, or None to recognise what can be recognised.
        issuer: the issuer that a response which names one has to name.
        landing_hosts: further hosts on which the browser may end.

    Raises:
        connector.errors.AuthorizationResponseError: if there is not exactly one undamaged code in it, or it
            does not belong to this request.
        connector.errors.ConsentDeniedError: if it says that the practice did not allow access.
        connector.errors.ClientRefusedError: if it says that the provider refuses the client or its request.
        connector.errors.ProviderUnavailableError: if it says that the provider is in trouble.
        connector.errors.ProviderErrorPageError: if it is the address of the provider's own error page.

    An error that the provider sent has the `state` of the request that it ends.

    Examples:
        >>> response = parse_redirect("ormco.com/?code=9F2C41&state=x%2Fy", redirect_uri="https://ormco.com/")
        >>> response.code, response.state, response.complete
        ('9F2C41', 'x/y', None)
    """
    if len(text) > LONGEST_TEXT:
        raise text_too_long()
    landing = landing_of(redirect_uri, tuple(landing_hosts))
    reading = _read_plain(text, landing, code_format) or _read_pasted(text, landing, code_format)
    _require_match(reading, expected_state, issuer)
    if not reading.code:
        raise _error_in(reading)
    return AuthorizationResponse(
        code=reading.code,
        format=reading.code_format,
        complete=reading.complete,
        layers=reading.layers,
        state=expected_state or reading.value("state"),
        iss=reading.value("iss"),
        scope=(reading.value("scope") or "").replace("+", " ") or None,
        warning=unusual_handle(reading.code) if reading.code_format == "dotnetopenauth" else "",
    )


def text_too_long() -> AuthorizationResponseError:
    """Return the error for a text that is longer than any answer."""
    return AuthorizationResponseError(
        f"the text has more than {LONGEST_TEXT:,} characters, so it was not read",
        hint="Copy the address alone, and paste that",
    )


def _read_plain(text: str, landing: Landing, code_format: str | None) -> Reading | None:
    """Read a whole and undamaged redirect URL; return None for anything else."""
    address = _PLAIN.fullmatch(text.strip())
    if address is None or address[1].lower().removeprefix("www.") not in landing.hosts:
        return None
    parameters: dict[str, tuple[str, bool]] = {}
    for part in address[2].split("&"):
        name, _, value = part.partition("=")
        if name in parameters:
            return None
        parameters[name] = (value, True)
    if "code" not in parameters or "error" in parameters:
        return None
    code, layers = decode(parameters["code"][0], code_format)
    try:
        found, complete = check_code(code, code_format)
    except CodeDamagedError:
        return None
    return Reading(code=code, code_format=found, complete=complete, layers=layers, parameters=parameters)


def _read_pasted(text: str, landing: Landing, code_format: str | None) -> Reading:
    from connector.redirect.reading import read

    return read(text, landing, code_format)


def _require_match(reading: Reading, expected_state: str | None, issuer: str | None) -> None:
    if expected_state is not None:
        if not reading.parameters.get("state", ("", True))[0]:
            raise StateMismatchError(
                "the answer has no state, so nobody can tell which request it belongs to",
                hint="Paste the whole address, from https:// to its end, not the code alone",
            )
        if not reading.has_state(expected_state):
            raise StateMismatchError(
                "the answer belongs to another request than the one that is open",
                hint="Use the address of the last attempt, or ask for access again",
            )
    if issuer is not None and reading.value("iss") not in (None, issuer):
        raise StateMismatchError(
            "the answer comes from another provider than the one that was asked",
            hint="Ask for access again, and use the address that the browser ends on then",
        )


def _error_in(reading: Reading) -> Exception:
    from connector.redirect.authorization_error import authorization_error

    description = reading.value("error_description") or ""
    return authorization_error(reading.value("error") or "", description, reading.value("state"))
