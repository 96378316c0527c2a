"""Reading the authorization response out of whatever was pasted."""

from __future__ import annotations

import doctest
import random
import time
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector import redirect
from connector.errors import (
    AuthorizationResponseError,
    CodeDamagedError,
    ConnectorError,
    ConsentDeniedError,
    SettingError,
    StateMismatchError,
    WrongAddressError,
)
from connector.redirect import code as code_module
from connector.redirect import mail_gateways, normalize, refusals
from connector.redirect import parse as authorization_response
from connector.redirect.parse import LONGEST_TEXT, AuthorizationResponse, parse_redirect
from connector.redirect.refusals import provider_error
from tests.support.codes import (
    CODE,
    FRAMES,
    HEX,
    LEGAL,
    LETTERS,
    MARKS,
    OPAQUE,
    STATE,
    WRAPS,
    classic_codes,
    encoded,
    hex_codes,
    states,
)
from tests.support.redirects import ACCEPTED, REFUSED, Row

URL = f"https://ormco.com/?code={encoded(CODE, 2)}"
# Texts around a code of any characters, none of which could be a part of the code.
BARE_FRAMES = [
    "https://ormco.com/?code={}",
    "https://ormco.com/?code={}&state=zz9",
    "https://ormco.com/?state=zz9&code={}",
    "https://www.ormco.com/x#state=zz9&code={}",
    "<https://ormco.com/?code={}>",
    "I got https://ormco.com/?code={}&state=zz9 today",
]
layers_of_a_code = st.integers(0, 4)
frames = st.sampled_from(sorted(FRAMES))
wraps = st.sampled_from(sorted(WRAPS))


def parse(text: str, **options: str | None) -> AuthorizationResponse:
    """Parse with the redirect URI that is registered for Ormco."""
    return parse_redirect(text, redirect_uri="https://ormco.com/", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "module", [authorization_response, redirect, code_module, mail_gateways, normalize, refusals]
)
def test_examples_in_the_documentation_are_true(module: object) -> None:
    """Every example gives what it says."""
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert results.attempted >= 1
    assert results.failed == 0


@pytest.mark.parametrize("row", ACCEPTED)
def test_golden_paste_gives_the_code(row: Row) -> None:
    """Each paste of the golden table gives the right code."""
    response = parse(row.text)
    assert response.code == row.code
    assert row.layers in (None, response.layers)
    assert row.state in (None, response.state)


@pytest.mark.parametrize("row", REFUSED)
def test_golden_paste_is_refused_with_its_own_message(row: Row) -> None:
    """An unusable paste is refused in its own words, with a hint, and without showing a code."""
    with pytest.raises(ConnectorError) as caught:
        parse(row.text)
    error = caught.value
    assert error.kind == row.error
    assert row.says in error.message
    assert error.hint
    assert CODE[6:16] not in f"{error.message} {error.hint}"
    assert f"{error.message}{error.hint}".isprintable()


@given(classic_codes | hex_codes, layers_of_a_code, frames, wraps)
def test_any_wrapping_of_a_code_is_undone(code: str, layers: int, frame: str, wrap: str) -> None:
    """A whole code comes out of every frame in every wrapping; one of hex digits does not tell that it is."""
    response = parse(WRAPS[wrap](FRAMES[frame].format(encoded(code, layers))))
    assert response.code == code
    expected = ("dotnetopenauth", True, layers) if "!" in code else ("identityserver", None, 0)
    assert (response.format, response.complete, response.layers) == expected


@given(classic_codes, layers_of_a_code, frames, wraps, st.data())
def test_a_cut_short_code_is_refused_in_any_wrapping(
    code: str, layers: int, frame: str, wrap: str, data: st.DataObject
) -> None:
    """No wrapping, and no sentence behind it, makes a cut-short code look whole."""
    cut = code[: data.draw(st.integers(1, len(code) - 1))]
    with pytest.raises(AuthorizationResponseError):
        parse(WRAPS[wrap](FRAMES[frame].format(encoded(cut, layers))))


@given(classic_codes, frames, wraps, st.sampled_from("*:/|@$^+~?=xQ7-_"), st.data())
def test_an_added_character_is_refused_in_any_wrapping(
    code: str, frame: str, wrap: str, extra: str, data: st.DataObject
) -> None:
    """A character that does not belong into the code is damage, inside and at its end."""
    at = data.draw(st.integers(5, len(code)))
    with pytest.raises(AuthorizationResponseError):
        parse(WRAPS[wrap](FRAMES[frame].format(code[:at] + extra + code[at:])))


@given(classic_codes, st.sampled_from(MARKS), st.lists(st.integers(0, 400), max_size=9))
def test_invisible_marks_do_not_matter(code: str, mark: str, places: list[int]) -> None:
    """Marks that nobody sees are taken out wherever they are."""
    text = URL.replace(encoded(CODE, 2), encoded(code, 2))
    for place in places:
        text = text[:place] + mark + text[place:]
    assert parse(text).code == code


@given(st.text())
@example("\x00")
@example("code=")
@example("%")
@example("https://")
@example("https://ormco.com/?code=%00%ff")
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text gives a response or an error of ours."""
    for pasted in (text, f"https://ormco.com/?code={text}", f"{text}{CODE}{text}"):
        try:
            parse(pasted)
        except ConnectorError as error:
            assert error.message  # noqa: PT017


@given(classic_codes | hex_codes, layers_of_a_code, states)
def test_a_plain_address_and_a_paste_read_the_same(code: str, layers: int, state: str) -> None:
    """A plain address gives the same result as the same address in a paste."""
    parameters = f"code={encoded(code, layers)}&state={state}&scope=a+b&iss=https%3A%2F%2Fx.test"
    plain = f"https://ormco.com/?{parameters}"
    assert parse(plain) == parse(f"<{plain}>")
    assert parse(plain).scope == "a b"


@pytest.mark.parametrize("code_format", [None, "opaque"])
def test_every_character_of_a_parameter_is_kept(code_format: str | None) -> None:
    """A character that is legal in an address is part of the code: read whole or refused, never cut."""
    random_numbers = random.Random(1)
    refused = 0
    for number in range(1500):
        code = "".join(random_numbers.choices(LEGAL, k=random_numbers.randint(12, 60)))
        address = BARE_FRAMES[number % len(BARE_FRAMES)].format(code)
        try:
            assert parse(address, code_format=code_format).code == code
        except CodeDamagedError:  # it looks like a classic code
            refused += 1
    assert refused <= (0 if code_format else 30)


@given(st.text(LEGAL, min_size=6, max_size=80), st.sampled_from("\x00\x01\x1b\x7f\x80é"), st.data())
def test_an_encoded_character_that_no_code_has_is_damage(code: str, extra: str, data: st.DataObject) -> None:
    """An encoded character that belongs to no code is never skipped."""
    at = data.draw(st.integers(0, len(code)))
    damaged = f"{code[:at]}{quote(extra)}{code[at:]}"
    for text in (f"https://ormco.com/?code={damaged}", f"see https://ormco.com/?code={damaged} thanks"):
        with pytest.raises(AuthorizationResponseError):
            parse(text)


@pytest.mark.parametrize("around", [".", ",", "'", ")", "3D"])
def test_marks_around_a_known_code_are_removed(around: str) -> None:
    """A mark of the sentence at the edge of an address is no part of a known code, but of an opaque one."""
    for known in (HEX, *((f"x{HEX[:41]}_", f"_{HEX[:41]}x") if around != ")" else ())):
        code = f"3D{known}" if around == "3D" else f"{known}{around}"
        assert parse(f"https://ormco.com/?code={code}").code == known
        assert parse(f"https://ormco.com/?code={code}", code_format="opaque").code == code


def test_a_mail_marks_every_parameter_or_none() -> None:
    """`=3D` is a mail's encoding if each parameter has it; one alone may be the code's own."""
    address = "https://ormco.com/?code=3Dab12cd&state="
    assert parse(f"{address}3Dxyz", code_format="opaque").code == "ab12cd"
    for state in ("xyz", "3", "3d"):
        assert parse(f"{address}{state}", code_format="opaque").code == "3Dab12cd"


def test_an_opaque_code_may_be_long() -> None:
    """A provider whose codes are opaque may issue codes of 16 KiB; they come whole, pasted or captured."""
    code = "".join(random.Random(5).choices(LETTERS, k=16_384))
    address = f"https://ormco.com/?code={code}&state=zz9"
    for text in (address, f"I got <{address}>, thanks"):
        assert parse(text, code_format="opaque").code == code
    with pytest.raises(CodeDamagedError, match="16384"):
        parse(address.replace("&", "x&"), code_format="opaque")


def test_response_has_both_forms_of_the_code() -> None:
    """The decoded code is for the token endpoint, the dialog's form for OrmcoDigital; repr() has neither."""
    response = parse(f"{URL}&state={STATE}")
    assert not {secret for secret in (CODE[6:16], STATE) if secret in repr(response)}
    assert response.length == 359
    assert response.dialog_code == CODE.replace("!", "%21")


@pytest.mark.parametrize(("lost", "warning"), [(0, ""), (1, '3 characters are before the "!"')])
def test_an_unusual_handle_is_a_warning(lost: int, warning: str) -> None:
    """A handle of another length may be another server's way: it is pointed out, and no reason to refuse."""
    response = parse(f"https://ormco.com/?code={encoded(CODE[lost:], 2)}")
    assert response.warning.startswith(warning)
    assert bool(response.warning) is bool(warning)
    assert parse(f"https://ormco.com/?code={HEX}").warning == ""


def test_state_has_to_be_the_expected_one() -> None:
    """A response to another request is refused; without a state the whole address is asked for."""
    assert parse(f"{URL}&state={STATE}", expected_state=STATE).state == STATE
    with pytest.raises(StateMismatchError, match="another request"):
        parse(f"{URL}&state={STATE}", expected_state="another")
    with pytest.raises(StateMismatchError) as caught:
        parse(URL, expected_state=STATE)
    assert "whole address" in caught.value.hint


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_state_may_be_encoded_as_often_as_the_code(layers: int) -> None:
    """The state is decoded as often as the code."""
    state = "a b/c%d"
    text = f"https://ormco.com/?code={encoded(CODE, layers)}&state={encoded(state, layers)}"
    assert parse(text).state == state
    assert parse(text, expected_state=state).state == state
    assert parse(f"https://ormco.com/?code={HEX}&state={encoded(state, layers)}", expected_state=state)


@given(states, st.data())
def test_state_is_found_in_a_wrapped_paste(state: str, data: st.DataObject) -> None:
    """A state that was broken by white space is the expected one, and no other."""
    at = data.draw(st.integers(1, len(state) - 1))
    text = f"{URL}&state={state[:at]}\n{state[at:]} Thanks"
    assert parse(text, expected_state=state)
    with pytest.raises(StateMismatchError):
        parse(text, expected_state=state[::-1] + "x")


@pytest.mark.parametrize("after", ["", ".", ", and thanks", ". Thanks", "…", " Thanks, Maria"])
def test_state_at_the_end_of_a_sentence(after: str) -> None:
    """A full stop at the end of a sentence is no part of the state before it."""
    text = f"I got ?code={OPAQUE}&state={STATE}{after}"
    assert parse(text).state == parse(text, expected_state=STATE).state == STATE


def test_issuer_has_to_be_the_expected_one() -> None:
    """A response that names another provider is refused."""
    text = f"{URL}&iss=https%3A%2F%2Fidentity.example"
    assert parse(text, issuer="https://identity.example").iss == "https://identity.example"
    for without in (parse(URL, issuer="https://identity.example"), parse(f"<{URL}>")):
        assert (without.state, without.iss, without.scope) == (None, None, None)
    with pytest.raises(StateMismatchError, match="another provider"):
        parse(text, issuer="https://other.example")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (f"https://ormco.com/?error=access_denied&state={STATE}", STATE),
        (f"https://ormco.com/?state={STATE}&error=temporarily_unavailable", STATE),
        ("https://ormco.com/?error=access_denied", None),
    ],
)
def test_error_carries_the_state_of_its_request(text: str, state: str | None) -> None:
    """An error response carries the state, so that its request can be closed."""
    with pytest.raises(ConnectorError) as caught:
        parse(text)
    assert caught.value.state == state


def test_error_has_to_belong_to_the_request_too() -> None:
    """A forged refusal does not end a request."""
    text = f"https://ormco.com/?error=access_denied&state={STATE}"
    with pytest.raises(ConsentDeniedError):
        parse(text, expected_state=STATE)
    with pytest.raises(StateMismatchError) as caught:
        parse(text, expected_state="another")
    assert caught.value.state is None


def test_error_description_is_shown_without_possible_secrets() -> None:
    """Of what the provider says only ordinary words are repeated."""
    text = f"https://ormco.com/?error=invalid_request&error_description=The+code+{HEX}+is+wrong"
    with pytest.raises(ConnectorError, match="The code … is wrong"):
        parse(text)


@pytest.mark.parametrize("description", ["", f"{HEX}+%E2%80%8B%01+1234567"])
def test_error_description_without_a_word_is_left_out(description: str) -> None:
    """If nothing of it can be shown, the error says its own words alone."""
    with pytest.raises(ConnectorError) as caught:
        parse(f"https://ormco.com/?error=invalid_request&error_description={description}")
    assert caught.value.message == provider_error("invalid_request", "", None).message
    assert "…" not in caught.value.message
    assert "(" not in caught.value.message


def test_code_format_decides_how_a_code_is_read() -> None:
    """An opaque code is decoded exactly once; a classic one has to be whole."""
    assert parse("https://ormco.com/?code=a%2525b!cd", code_format="opaque").code == "a%25b!cd"
    with pytest.raises(AuthorizationResponseError):
        parse(f"https://ormco.com/?code={OPAQUE}", code_format="dotnetopenauth")
    assert parse(f"https://ormco.com/?code={OPAQUE}", code_format="identityserver").format == "identityserver"


def test_further_landing_hosts_are_accepted() -> None:
    """A site that sends the browser on to another host of its own can be named."""
    text = f"https://www.ormco.eu/?code={encoded(CODE, 1)}"
    with pytest.raises(WrongAddressError, match=r"ormco\.eu"):
        parse(text)
    response = parse_redirect(text, redirect_uri="https://ormco.com/", landing_hosts=["ormco.eu"])
    assert response.code == CODE


def test_redirect_uri_of_any_kind_works() -> None:
    """A loopback redirect URI is a place like any other."""
    text = f"http://127.0.0.1:49152/landing?code={encoded(CODE, 1)}"
    assert parse_redirect(text, redirect_uri="http://127.0.0.1:8042/landing").code == CODE
    with pytest.raises(SettingError):
        parse_redirect(text, redirect_uri="ormco.com")


@pytest.mark.parametrize("piece", ["%25", '"', "code=", "A", "https://ormco.com/?code="])
def test_endless_text_is_refused_unread(piece: str) -> None:
    """Ten megabytes of anything cost nothing."""
    text = piece * (10_000_000 // len(piece))
    begun = time.process_time()
    with pytest.raises(AuthorizationResponseError, match="not read"):
        parse(text)
    # Reading the text would take seconds.
    assert time.process_time() - begun < 1


def test_longest_text_is_read() -> None:
    """A text of just the limit is searched to its end; one more character is too many."""
    text = "-- \n" * ((LONGEST_TEXT - len(URL)) // 4) + URL
    assert parse(text).code == CODE
    with pytest.raises(AuthorizationResponseError, match="not read") as caught:
        parse("x" * (LONGEST_TEXT + 1))
    assert caught.value.hint


def test_too_many_codes_are_not_counted() -> None:
    """A page full of codes is no response."""
    text = " ".join(f"https://ormco.com/?code={number:032x}" for number in range(200))
    with pytest.raises(AuthorizationResponseError, match="too many codes"):
        parse(text)


def test_a_code_that_begins_like_another_is_another() -> None:
    """Only a code whose form shows that it is cut is a part of another; a stray beginning is damage."""
    with pytest.raises(AuthorizationResponseError, match="two"):
        parse(f"https://ormco.com/?code={HEX} https://ormco.com/?code={HEX}-1")
    with pytest.raises(CodeDamagedError) as caught:
        parse(f'9"{CODE[1:]}')
    assert caught.value.position == 0
