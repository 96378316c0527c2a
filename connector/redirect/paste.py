"""Interpret a pasted text: return one code or an error, or refuse it with the reason."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from connector.errors import CodeDamagedError, ConnectorError, WrongAddressError
from connector.redirect.address import RedirectTarget, wrong_address
from connector.redirect.code import check_code, encodes, percent_decode, recognise
from connector.redirect.find import MOST_RESPONSES, FoundResponse, addresses_in, find_responses
from connector.redirect.normalize import normalize
from connector.redirect.refusals import damaged, refused
from connector.redirect.wrapping import find_code, has_sentence, without_sentence

__all__ = ["ParsedResponse", "read_paste"]

_ONCE = frozenset({"state", "iss", "scope", "session_state", "error", "error_description", "error_uri"})
_MOST_WRAPS = 64


@dataclass(repr=False, eq=False, kw_only=True)
class ParsedResponse:
    """One response; its form is checked, but not which request it belongs to.

    Attributes:
        code: fully decoded, without visible damage; "" for an error response.
        code_format: dotnetopenauth, identityserver or unknown.
        complete: True for a complete code, None if that cannot be determined.
        layers: the number of times the code was percent-encoded.
        parameters: name → (value as in the text, whether the value is known to end there).
    """

    code: str = ""
    code_format: str = "unknown"
    complete: bool | None = None
    layers: int = 0
    parameters: dict[str, tuple[str, bool]]

    def value(self, name: str) -> str | None:
        """Return a parameter's value, decoded as often as the code was, or None."""
        if name not in self.parameters:
            return None
        raw, ends = self.parameters[name]
        value = "".join(raw.split()) if ends else without_sentence(raw)
        for _ in range(max(1, self.layers)):
            value = percent_decode(value)
        return value or None

    def raw(self, name: str) -> str:
        """Return a parameter as in the text, or ""."""
        return self.parameters.get(name, ("", True))[0]

    def has_state(self, expected: str) -> bool:
        """Compare the state in constant time.

        A response that was encoded twice shows this in its code only if the code has characters to encode,
        and words may follow a state that is the last parameter: so several readings are possible.
        """
        found = False
        joined = ""
        for word in self.raw("state").split()[:_MOST_WRAPS]:
            joined += word
            found |= encodes(joined, expected) | encodes(joined.rstrip(".,;…"), expected)
        return found


@dataclass(repr=False, eq=False, kw_only=True)
class _Candidate:
    """One response with its code extracted and checked."""

    response: FoundResponse
    code: str
    layers: int
    code_format: str = "unknown"
    complete: bool | None = None
    damage: CodeDamagedError | None = None


def read_paste(text: str, target: RedirectTarget, code_format: str | None) -> ParsedResponse:
    """Return the one response in a text.

    Raises:
        connector.errors.AuthorizationResponseError: if there is none, or more than one, or it is damaged.
        connector.errors.ProviderErrorPageError: if it is the address of the provider's error page.
    """
    try:
        return _read(text, target, code_format)
    except WrongAddressError:
        # White space may also be inside the host. The ">" of a quoted mail would cut off its beginning.
        if not has_sentence(text):
            with suppress(ConnectorError):
                parsed = _read("".join(text.replace(">", " ").split()), target, code_format)
                if parsed.complete:
                    return parsed
        raise


def _read(text: str, target: RedirectTarget, code_format: str | None) -> ParsedResponse:
    normalized, layers = normalize(text)
    responses = find_responses(normalized, target)
    if len(responses) > MOST_RESPONSES:
        raise refused("too_many_codes")
    ours = [response for response in responses if target.other_host(response.address) is None]
    found = [_judge(response, code_format, layers) for response in ours if response.name == "code"]
    found = [candidate for candidate in found if candidate.code or candidate.damage]
    errors = [response for response in ours if response.name == "error" and response.value.strip()]
    if errors and found:
        raise refused("code_and_error")
    if errors:
        return ParsedResponse(layers=layers, parameters=_parameters(errors, layers))
    if not found:
        raise _nothing_found(responses, normalized, target)
    return _the_one(found)


def _judge(response: FoundResponse, code_format: str | None, layers: int) -> _Candidate:
    code, inner = find_code(response.value, code_format, more=response.more, enclosed=response.enclosed)
    for name, raw, more in response.parameters:
        if name == "code" and find_code(raw, code_format, more=more)[0] != code:
            raise refused("repeated_parameter", name="code")
    candidate = _Candidate(response=response, code=code, layers=layers + inner)
    if response.stray:
        candidate.damage = damaged("stray_before_code", code, position=0)
    elif code:
        try:
            candidate.code_format, candidate.complete = check_code(code, code_format)
        except CodeDamagedError as exc:
            candidate.damage = exc
    return candidate


def _the_one(found: list[_Candidate]) -> ParsedResponse:
    undamaged = [candidate for candidate in found if candidate.damage is None]
    best = max(undamaged or found, key=lambda candidate: len(candidate.code))
    if recognise(best.code) == "identityserver":  # only by its length can one be recognised as cut
        undamaged = [each for each in undamaged if recognise(each.code) == "identityserver"]
    # The text of a link is often its address cut short, with the whole address after it.
    if not all(candidate.code == best.code for candidate in undamaged) or not all(
        best.code.startswith(candidate.code.rstrip(".…")) for candidate in found
    ):
        raise refused("two_codes")
    if best.damage:
        raise best.damage
    responses = [candidate.response for candidate in found if candidate.code == best.code]
    return ParsedResponse(
        code=best.code,
        code_format=best.code_format,
        complete=best.complete,
        layers=best.layers,
        parameters=_parameters(responses, best.layers),
    )


def _parameters(responses: list[FoundResponse], layers: int) -> dict[str, tuple[str, bool]]:
    """Return the parameters of all copies of one response; each parameter may have only one value."""
    kept: dict[str, tuple[str, bool]] = {}
    seen = ParsedResponse(layers=layers, parameters={})
    pairs = [
        (response.name, response.value, response.more) for response in responses if response.name == "error"
    ]
    for name, raw, ends in (*pairs, *(pair for response in responses for pair in response.parameters)):
        if name not in _ONCE or not raw.strip():
            continue
        seen.parameters = {"first": kept.setdefault(name, (raw, ends)), "this": (raw, ends)}
        if seen.value("first") != seen.value("this"):
            raise refused("repeated_parameter", name=name)
    return kept


def _nothing_found(responses: list[FoundResponse], text: str, target: RedirectTarget) -> ConnectorError:
    addresses = [response.address for response in responses] + addresses_in(text)
    elsewhere = [address for address in addresses if target.other_host(address) is not None]
    if any(response.name == "code" and target.other_host(response.address) is None for response in responses):
        return refused("code_ends_early")
    if elsewhere:
        return wrong_address(elsewhere[0])
    if any(addresses):
        return refused("no_code_in_address")
    return refused("no_code_in_text" if text.strip() else "nothing_pasted")
