"""Turn a redirect URL, or a text that a person copied, into a validated authorization response.

Only the form is checked here: a text does not show whether a code was used before or is too old. A whole
address is read here; the module `paste` reads every other text.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector.errors import AuthorizationResponseError, CodeDamagedError
from connector.redirect.code import check_code, decode, dialog_form, encodes, percent_decode, recognise

if TYPE_CHECKING:
    from connector.redirect.address import RedirectTarget

__all__ = [
    "LONGEST_TEXT",
    "AuthorizationResponse",
    "CapturedUrl",
    "parse_redirect",
    "text_too_long",
]

LONGEST_TEXT = 65_536

# An address as browsers show it: every character that RFC 3986 allows in a path, a query and a fragment.
_LEGAL = r"A-Za-z0-9\-._~%!$&'()*+,;=:@/"
_ADDRESS = re.compile(
    rf"[ \t\r\n]*[Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?:/[{_LEGAL}]*)?"
    rf"(?:\?([{_LEGAL}?]*))?(?:#([{_LEGAL}?]*))?[ \t\r\n]*"
)
# "&amp;state=…" is HTML, not a parameter of that name.
_ENTITY = re.compile(r"&(?:#|[A-Za-z][A-Za-z0-9]*;)")
# Two addresses in a row, or one inside the other, are not a plain address.
_NESTED = re.compile(r"(?ai)://|[?&](?:code|error|state)=")
_AROUND = ".,;!?'()"


class CapturedUrl(str):
    """A redirect URL that the connector's own browser captured after it opened the request.

    No other party could have supplied it, so it belongs to its request even without a state.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationResponse:
    """The provider's response, sent back through the browser (RFC 6749 §4.1.2).

    Attributes:
        code: fully decoded, without visible damage; encode it once when it is sent.
        format: dotnetopenauth, identityserver or unknown.
        complete: True for a complete code, None if that cannot be determined.
        layers: the number of times the code was percent-encoded.
        state: decoded, or None if there is none.
        iss: the issuer (RFC 9207), or None.
        scope: the granted scope, or None if the response does not state it.
    """

    code: str = field(repr=False)
    format: str
    complete: bool | None
    layers: int
    state: str | None = field(default=None, repr=False)
    iss: str | None = None
    scope: str | None = None

    @property
    def length(self) -> int:
        """The number of characters of the code."""
        return len(self.code)

    @property
    def dialog_code(self) -> str:
        """The code in the form for OrmcoDigital's dialog: percent-encoded once."""
        return dialog_form(self.code)

    @property
    def warning(self) -> str:
        """A remark on an unusual code, or "".

        A character that was lost or added before the `!` looks like a handle of another length.
        """
        handle = self.code.find("!")
        if self.format != "dotnetopenauth" or handle == 4:
            return ""
        from connector.redirect.refusals import note

        return note("unusual_handle", count=handle)


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
        redirect_uri: the registered redirect URI; the code has to come from its host.
        expected_state: the state of the open request; if given, the response must contain it.
        code_format: dotnetopenauth, identityserver or opaque, or None to recognise what can be recognised.
        issuer: the expected issuer; a response that names another one is refused.
        landing_hosts: further hosts on which the browser may end.

    Raises:
        connector.errors.AuthorizationResponseError: if there is not exactly one undamaged code in it, or it
            does not belong to this request.
        connector.errors.ConsentDeniedError: if it reports that the practice did not allow access.
        connector.errors.ClientRefusedError: if it reports that the provider refuses the client or request.
        connector.errors.ProviderUnavailableError: if it reports a temporary fault of the provider.
        connector.errors.ProviderErrorPageError: if it is the address of the provider's own error page.

    An error that the provider sent has the `state` of the request that it ends.

    Examples:
        >>> response = parse_redirect("ormco.com/?code=9F2C41&state=x%2Fy", redirect_uri="https://ormco.com/")
        >>> response.code, response.state, response.complete
        ('9F2C41', 'x/y', None)
    """
    if len(text) > LONGEST_TEXT:
        raise text_too_long()
    values = _parameters_in(text, redirect_uri, landing_hosts)
    response = _read_address(values, code_format, expected_state) if values else None
    if response is None or (issuer is not None and response.iss not in (None, issuer)):
        from connector.redirect.address import redirect_target

        target = redirect_target(redirect_uri, tuple(landing_hosts))
        return _read_text(text, target, code_format, expected_state, issuer)
    return response


def _parameters_in(text: str, redirect_uri: str, further_hosts: Collection[str]) -> dict[str, str] | None:
    """Return the raw parameters of a plain redirect URL with a code, if each parameter occurs once."""
    address, target = _ADDRESS.fullmatch(text), _ADDRESS.fullmatch(redirect_uri)
    if address is None or target is None or _ENTITY.search(text):
        return None
    hosts = {host.lower().removeprefix("www.") for host in (target[1], *further_hosts)}
    values: dict[str, str] = {}
    for part in f"{address[2] or ''}&{address[3] or ''}".split("&"):
        name, _, value = part.partition("=")
        if name in values:
            return None
        values |= {name: value} if name else {}
    is_ours = (
        address[1].lower().removeprefix("www.") in hosts and values.get("code") and "error" not in values
    )
    if not is_ours or _NESTED.search(values["code"]):
        return None
    return {"state": "", "iss": "", "scope": "", **values}


def _read_address(
    values: dict[str, str], code_format: str | None, expected_state: str | None
) -> AuthorizationResponse | None:
    """Read the parameters of a plain address; return None if the text needs the full parser."""
    if expected_state is not None and not encodes(values["state"], expected_state):
        return None
    if expected_state is None and values["state"][-1:] in (*".,;'",):  # the end of a sentence
        return None
    code, layers = decode(values["code"], code_format)
    try:
        found, complete = check_code(code, code_format)
    except CodeDamagedError:
        return None
    if (complete is None or code.startswith("3D")) and _may_be_surrounded(code, values["state"], code_format):
        return None
    for name in ("state", "iss", "scope"):
        for _ in range(max(1, layers) if "%" in values[name] else 0):
            values[name] = percent_decode(values[name])
    return AuthorizationResponse(
        code=code,
        format=found,
        complete=complete,
        layers=layers,
        state=expected_state or values["state"] or None,
        iss=values["iss"] or None,
        scope=values["scope"].replace("+", " ") or None,
    )


def _may_be_surrounded(code: str, state: str, code_format: str | None) -> bool:
    """Return whether an unchecked code may have text around it that a mail or a sentence added."""
    if code[:2] == "3D" and (code_format != "opaque" or state[:2] == "3D"):
        return recognise(code) != "identityserver"
    if code_format == "opaque" or (code[0].isalnum() and code[-1].isalnum()):
        return False
    return recognise(code) == "unknown" != recognise(code.strip(_AROUND))


def _read_text(
    text: str, target: RedirectTarget, code_format: str | None, expected_state: str | None, issuer: str | None
) -> AuthorizationResponse:
    """Read any other text that a person may have copied."""
    from connector.redirect.paste import read_paste
    from connector.redirect.refusals import provider_error, refused

    parsed = read_paste(text, target, code_format)
    if expected_state is not None and not parsed.has_state(expected_state):
        raise refused("state_of_another_request" if parsed.raw("state") else "state_missing")
    if issuer is not None and parsed.value("iss") not in (None, issuer):
        raise refused("other_issuer")
    if not parsed.code:
        description = parsed.value("error_description") or ""
        raise provider_error(parsed.value("error") or "", description, parsed.value("state"))
    return AuthorizationResponse(
        code=parsed.code,
        format=parsed.code_format,
        complete=parsed.complete,
        layers=parsed.layers,
        state=expected_state or parsed.value("state"),
        iss=parsed.value("iss"),
        scope=(parsed.value("scope") or "").replace("+", " ") or None,
    )


def text_too_long() -> AuthorizationResponseError:
    """Return the error for a text that is longer than any authorization response."""
    from connector.redirect.refusals import described

    _, message, hint = described("text_too_long", {"longest": f"{LONGEST_TEXT:,}"})
    return AuthorizationResponseError(message, hint=hint)
