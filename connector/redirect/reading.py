"""Decide what a pasted text means: one code, an error, or why it can be neither."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from connector.errors import (
    AmbiguousResponseError,
    CodeDamagedError,
    CodeMissingError,
    ConnectorError,
    WrongAddressError,
)
from connector.redirect.address import Landing, wrong_address
from connector.redirect.code import check_code
from connector.redirect.find import MOST_ANSWERS, Answer, addresses_in, find_answers
from connector.redirect.normalize import clean
from connector.redirect.result import Reading
from connector.redirect.wrapping import find_code, has_sentence

__all__ = ["read"]

_ONCE = frozenset({"state", "iss", "scope", "session_state", "error", "error_description", "error_uri"})
_COPY = "Copy the ENTIRE address from the browser's address bar, once, and paste it alone"
_FINISH = "Press Allow access, wait for Ormco's page, and copy the ENTIRE address before leaving it"


@dataclass(repr=False, eq=False, kw_only=True)
class _Candidate:
    """One answer, its code settled and judged."""

    answer: Answer
    code: str
    layers: int
    code_format: str = "unknown"
    complete: bool | None = None
    damage: CodeDamagedError | None = None


def read(text: str, landing: Landing, code_format: str | None) -> Reading:
    """Return the one answer in a text.

    Raises:
        connector.errors.AuthorizationResponseError: if there is none, or more than one, or it is damaged.
        connector.errors.ProviderErrorPageError: if it is the address of the provider's error page.
    """
    try:
        return _read(text, landing, code_format)
    except (CodeMissingError, CodeDamagedError, WrongAddressError):
        # White space may also stand inside the host or a parameter's name.
        if not has_sentence(text):
            with suppress(ConnectorError):
                reading = _read("".join(text.split()), landing, code_format)
                if reading.complete:
                    return reading
        raise


def _read(text: str, landing: Landing, code_format: str | None) -> Reading:
    cleaned, layers = clean(text)
    answers = find_answers(cleaned, landing)
    if len(answers) > MOST_ANSWERS:
        raise AmbiguousResponseError("there are too many codes in the text", hint=_COPY)
    ours = [answer for answer in answers if landing.other_host(answer.address) is None]
    found = [_judge(answer, code_format, layers) for answer in ours if answer.name == "code"]
    found = [candidate for candidate in found if candidate.code or candidate.damage]
    errors = [answer for answer in ours if answer.name == "error" and answer.value.strip()]
    if errors and found:
        raise AmbiguousResponseError("the text has a code and an error in it", hint=_COPY)
    if errors:
        return Reading(layers=layers, parameters=_parameters(errors, layers))
    if not found:
        raise _nothing_found(answers, cleaned, landing)
    return _the_one(found)


def _judge(answer: Answer, code_format: str | None, layers: int) -> _Candidate:
    code, inner = find_code(answer.value, code_format, more=answer.more)
    for name, raw, more in answer.parameters:
        if name == "code" and find_code(raw, code_format, more=more)[0] != code:
            raise _repeated("code")
    candidate = _Candidate(answer=answer, code=code, layers=layers + inner)
    if answer.stray:
        fact = "the code breaks at its beginning: something stands before it that does not belong there"
        candidate.damage = CodeDamagedError(fact, hint=_COPY, length=len(code), position=0)
    elif code:
        try:
            candidate.code_format, candidate.complete = check_code(code, code_format)
        except CodeDamagedError as exc:
            candidate.damage = exc
    return candidate


def _the_one(found: list[_Candidate]) -> Reading:
    whole = [candidate for candidate in found if candidate.damage is None] or found
    best = max(whole, key=lambda candidate: len(candidate.code))
    # The text of a link is often its address cut short, with the whole address behind it.
    if not all(candidate.code == best.code for candidate in whole if candidate.damage is None) or not all(
        best.code.startswith(candidate.code) for candidate in found
    ):
        raise AmbiguousResponseError("there are two different codes in the text", hint=_COPY)
    if best.damage:
        raise best.damage
    answers = [candidate.answer for candidate in found if candidate.code == best.code]
    return Reading(
        code=best.code,
        code_format=best.code_format,
        complete=best.complete,
        layers=best.layers,
        parameters=_parameters(answers, best.layers),
    )


def _parameters(answers: list[Answer], layers: int) -> dict[str, tuple[str, bool]]:
    """Return the parameters of all copies of one answer, each of which may have one value only."""
    kept: dict[str, tuple[str, bool]] = {}
    seen = Reading(layers=layers, parameters={})
    pairs = [(answer.name, answer.value, answer.more) for answer in answers if answer.name == "error"]
    for name, raw, ends in (*pairs, *(pair for answer in answers for pair in answer.parameters)):
        if name not in _ONCE or not raw.strip():
            continue
        seen.parameters = {"first": kept.setdefault(name, (raw, ends)), "this": (raw, ends)}
        if seen.value("first") != seen.value("this"):
            raise _repeated(name)
    return kept


def _repeated(name: str) -> AmbiguousResponseError:
    return AmbiguousResponseError(f"the parameter {name} is there twice, with different values", hint=_COPY)


def _nothing_found(answers: list[Answer], text: str, landing: Landing) -> ConnectorError:
    addresses = [answer.address for answer in answers] + addresses_in(text)
    elsewhere = [address for address in addresses if landing.other_host(address) is not None]
    if any(answer.name == "code" and landing.other_host(answer.address) is None for answer in answers):
        return CodeMissingError("the address ends where its code should begin", hint=_COPY)
    if elsewhere:
        return wrong_address(elsewhere[0])
    if any(addresses):
        return CodeMissingError(
            "the address has no code in it: access was not allowed yet, or the page has moved on",
            hint=_FINISH,
        )
    if not text.strip():
        return CodeMissingError("nothing was pasted", hint=_COPY)
    return CodeMissingError("there is no authorization code in the text", hint=_COPY)
