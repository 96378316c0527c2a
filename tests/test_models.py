"""Reading a case: whatever is missing, odd or new in it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.communicate.models import read_case, read_timestamp
from tests.support.cases import sound_case

NOON = datetime(2026, 2, 3, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-02-03T12:30:00Z", NOON),
        ("2026-02-03T12:30:00", NOON),
        ("2026-02-03T12:30:00.000Z", NOON),
        ("2026-02-03T12:30:00.0000000Z", NOON),
        ("2026-02-03 12:30:00Z", NOON),
        ("2026-02-03T14:30:00+02:00", NOON),
        ("1753-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("soon", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_dates_in_every_form(text: int | str | None, moment: Any) -> None:
    """The three forms that were seen are read as UTC; "no date" and nonsense are None."""
    assert read_timestamp(text) == moment


def test_smallest_case() -> None:
    """An id alone is a case."""
    case = sound_case({"Id": "ABC-1"})
    assert (case.id, case.version, case.label, case.files, case.designs) == ("abc-1", 0, "-", (), "")


@pytest.mark.parametrize(
    "value", [None, 7, "x", [], {}, {"Id": None}, {"Id": "../x"}, {"Id": ".."}, {"Id": "a" * 101}]
)
def test_entry_without_a_usable_id_is_left_out(value: Any) -> None:
    """A case without a usable id is left out: ids become parts of addresses and names."""
    assert read_case(value) is None


def test_fields_of_the_wrong_type_are_left_out() -> None:
    """A case with odd fields is read as far as it goes."""
    case = sound_case(
        {
            "Id": "a",
            "Version": "7",
            "State": 3,
            "StateFlag": [],
            "Patient": "Nobody",
            "Actors": [None, "x", {"Roles": "Lab", "Id": "L"}, {"Roles": ["Lab"]}],
            "Scans": {"Count": 2},
            "Designs": [{}, {"Id": "d", "Hash": 5}],
            "UpdatedOn": {"Date": 1},
        }
    )
    assert (case.version, case.state, case.state_flag, case.updated) == (7, "3", None, None)
    assert [(actor.id, actor.roles) for actor in case.actors] == [("L", ())]
    assert [file.id for file in case.files] == ["d"]


def test_unknown_fields_are_kept() -> None:
    """Fields that this version does not know are kept."""
    assert sound_case({"Id": "a", "WorkflowHints": {"x": 1}}).fields["WorkflowHints"] == {"x": 1}


def test_designs_are_compared_as_a_set() -> None:
    """The order of designs, their capitals and other fields do not make a new design; another hash does."""
    one, two = "A" * 40, "b" * 40

    def designs(*hashes: Any) -> Any:
        return sound_case({"Id": "a", "Designs": [{"Hash": mark} for mark in hashes]}).designs

    assert designs(one, two) == designs(two, one.lower()) != designs(one)


def test_hash_in_base64() -> None:
    """A SHA-1 is read in hex and in base64; anything else is no hash."""
    digest = hashlib.sha1(b"x", usedforsecurity=False)
    marks = [b64encode(digest.digest()).decode(), digest.hexdigest().upper(), "zz", "é"]
    files = sound_case({"Id": "a", "Scans": [{"Id": "s", "Hash": mark} for mark in marks]}).files
    assert [file.sha1 for file in files] == [digest.hexdigest(), digest.hexdigest(), None, None]


def test_repr_shows_nothing_of_the_patient() -> None:
    """The repr of a case names no patient, in case it lands in a log."""
    case = sound_case(
        {
            "Id": "a",
            "PatientName": "SECRET",
            "Patient": {"FirstName": "SECRET", "ExternalId": "SECRET", "PatientRefNo": "SECRET"},
            "OperatorId": "SECRET",
            "OrderNo": "SECRET",
            "Comments": ["SECRET"],
            "Attachments": [{"Id": "1", "Name": "SECRET", "Href": "https://x/SECRET"}],
            "Actors": [{"Id": "1", "Name": "SECRET", "Email": "SECRET"}],
        }
    )
    assert "SECRET" not in repr(case) + repr(case.patient) + repr(case.files) + repr(case.actors)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        *("Version", "State", "StateFlag", "Actors", "Scans", "Designs", "Attachments", "Patient"),
        *("Comments", "UpdatedOn"),
    ]
)


@settings(max_examples=40)
@given(st.dictionaries(KEYS, JSON, max_size=10))
def test_no_value_breaks_the_reader(fields: Any) -> None:
    """A case is read whatever JSON is in a field."""
    case = sound_case({**fields, "Id": "a"})
    assert case.id == "a"
    assert isinstance(case.label + case.designs, str)
