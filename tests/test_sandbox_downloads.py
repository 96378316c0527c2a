"""The sandbox's downloads: whole, by parts, and everything that can go wrong with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.support.cases import MetadataApi, Workflow
from tests.support.sandbox import TIMEOUT, RunningSandbox

SIZE = 40_000


@dataclass
class Model:
    """The attachment `model.ply` of a new case."""

    sandbox: RunningSandbox
    api: MetadataApi
    case_id: str

    def listed(self) -> dict[str, Any]:
        files: list[dict[str, Any]] = self.api(f"cases/{self.case_id}").json()["Attachments"]
        return next(file for file in files if file["Name"] == "model.ply")

    def get(self, **headers: str) -> requests.Response:
        href = self.listed()["Href"]
        return self.api.http.get(href, headers=headers, timeout=TIMEOUT, allow_redirects=False)


@pytest.fixture
def model(classic: RunningSandbox) -> Model:
    return Model(classic, MetadataApi(classic), *Workflow(classic).send())


def test_whole_file_or_a_range_is_sent(model: Model) -> None:
    """A range is answered 206 with its place in the file; beyond the end, 416."""
    whole, part = model.get(), model.get(Range="bytes=5000-")
    assert hashlib.sha1(whole.content, usedforsecurity=False).hexdigest() == model.listed()["Hash"]
    assert (part.status_code, part.headers["Content-Range"]) == (206, f"bytes 5000-{SIZE - 1}/{SIZE}")
    assert whole.content[5000:] == part.content
    beyond = model.get(Range=f"bytes={SIZE}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


def test_range_of_another_file_is_not_sent(model: Model) -> None:
    """With If-Range, a part comes only of the very file that was begun."""
    etag = model.get().headers["ETag"]
    assert model.get(**{"Range": "bytes=9-", "If-Range": etag}).status_code == 206
    assert model.get(**{"Range": "bytes=9-", "If-Range": '"another"'}).status_code == 200


def test_stl_files_are_for_the_lab(classic: RunningSandbox) -> None:
    """A practice is refused a design with a sentence; the lab gets it, unless a scenario says otherwise."""
    workflow = Workflow(classic)
    (case_id,) = workflow.send()
    workflow.act(case_id, "receive", "accept", "design")
    own, lab = MetadataApi(classic), MetadataApi(classic, classic.lab)
    design = own(f"cases/{case_id}").json()["Designs"][0]["Hash"]
    assert "permission" in own(f"cases/{case_id}/attachments/{design}").json()["Message"]
    assert lab(f"cases/{case_id}/attachments/{design}").status_code == 200
    classic.set_scenarios("no-stl")
    assert lab(f"cases/{case_id}/attachments/{design}").status_code == 400


def test_cut_download_continues_and_is_cut_again(model: Model) -> None:
    """Less arrives than was announced."""
    model.sandbox.set_scenarios("cut-download")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        model.get()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        model.get(Range="bytes=7000-")


def test_changing_file_is_recognised_by_its_etag_alone(model: Model) -> None:
    """The second download has other content of the same size, and there is no hash."""
    model.sandbox.set_scenarios("changing-file")
    first, second, third = model.get(), model.get(), model.get()
    assert model.listed()["Hash"] is None
    assert len(first.content) == len(second.content)
    assert first.headers["ETag"] != second.headers["ETag"] == third.headers["ETag"]
    resumed = model.get(**{"Range": "bytes=7000-", "If-Range": first.headers["ETag"]})
    assert (resumed.status_code, resumed.content) == (200, second.content)


def test_redirect_leads_to_another_origin(model: Model) -> None:
    """The file is there without a bearer token, and refused with one."""
    model.sandbox.set_scenarios("download-redirect")
    address = model.get().headers["Location"]
    assert address.startswith("http://localhost:")
    file = requests.get(address, timeout=TIMEOUT)
    assert (file.status_code, len(file.content)) == (200, SIZE)
    assert model.api.http.get(address, timeout=TIMEOUT).status_code == 400
    counters = model.sandbox.counters()
    assert (counters["blob:downloads"], counters["blob:with-authorization"]) == (1, 1)
    assert requests.get(address.partition("?")[0], timeout=TIMEOUT).status_code == 404


def test_short_range_states_its_bytes(model: Model) -> None:
    """Asked for the rest, less than the rest comes, with an honest Content-Range."""
    model.sandbox.set_scenarios("short-range")
    part = model.get(Range="bytes=7000-")
    assert (part.status_code, part.headers["Content-Range"]) == (206, f"bytes 7000-7999/{SIZE}")
    assert len(part.content) == 1000


def test_slow_download_sends_byte_by_byte(model: Model) -> None:
    """One byte comes after each `slow_seconds`."""
    model.sandbox.control(scenarios=["slow-download"], slow_seconds=0.01)
    with model.api.http.get(model.listed()["Href"], stream=True, timeout=TIMEOUT) as response:
        assert response.headers["Content-Length"] == str(SIZE)
        assert len(response.raw.read(3)) == 3


@pytest.mark.parametrize(("scenario", "same"), [("no-range", True), ("damaged-download", False)])
def test_range_and_content_can_be_wrong(model: Model, scenario: str, same: bool) -> None:
    """Always the whole file; or a file with a wrong byte."""
    whole = model.get().content
    model.sandbox.set_scenarios(scenario)
    response = model.get(Range="bytes=0-")
    assert (response.content == whole, len(response.content)) == (same, SIZE)
    assert (response.status_code == 200) is same
