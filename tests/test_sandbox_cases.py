"""The sandbox's cases: the workflow played by both sides, and the API with its oddities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

from connector.sandbox.accounts import LABS_OF_ORMCO
from tests.support.cases import MetadataApi, Workflow
from tests.support.sandbox import TIMEOUT, RunningSandbox, Visitor

LAB = LABS_OF_ORMCO["americas"]


def pair(api: MetadataApi, case_id: str) -> tuple[str, str | None]:
    case = api(f"cases/{case_id}").json()
    return case["State"], case["StateFlag"]


def test_workflow_of_the_article(classic: RunningSandbox, workflow: Workflow) -> None:
    """Each step sets the article's status; a new design after a rejection does not change it."""
    api = MetadataApi(classic)
    (case_id,) = workflow.send()
    story = [pair(api, case_id)]
    for action in ("receive", "accept", "request-approval", "reject", "resend", "approve"):
        workflow.act(case_id, action)
        story.append(pair(api, case_id))
    assert story == [
        *(("Scanned", "Sent"), ("Scanned", "Received"), ("Scanned", "Approved")),
        *(("Designed", "Sent"), ("Designed", "Rejected"), ("Designed", "Rejected"), ("Designed", "Approved")),
    ]
    designs = [api(f"cases/{case_id}/version/{number}").json()["Designs"] for number in (4, 5, 6, 7)]
    hashes = [design[0]["Hash"] for design in designs]
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3]


def test_side_cannot_take_a_step_that_is_not_its_turn(classic: RunningSandbox, workflow: Workflow) -> None:
    """A step that is not possible is refused, and changes nothing."""
    (case_id,) = workflow.send()
    for action in ("accept", "approve", "fly"):
        url = f"{classic.url}/sandbox/cases/{case_id}/{action}"
        assert requests.post(url, json={}, timeout=TIMEOUT).status_code == 400
    url = f"{classic.url}/sandbox/cases/none/receive"
    assert requests.post(url, json={}, timeout=TIMEOUT).status_code == 404
    assert pair(MetadataApi(classic), case_id) == ("Scanned", "Sent")


def test_list_is_paged_newest_first(classic: RunningSandbox, workflow: Workflow) -> None:
    """Ten a page, the last touched first, with the count of all; `page` is required."""
    cases = workflow.send(count=11)
    workflow.act(cases[0], "receive")
    api = MetadataApi(classic)
    first, second, third = (api(f"cases?page={number}").json() for number in range(3))
    assert [case["Id"] for case in first["Cases"]] == [cases[0], *reversed(cases[2:])]
    assert ([case["Id"] for case in second["Cases"]], second["Count"]) == ([cases[1]], 11)
    assert third == {"Cases": [], "Count": 11}
    assert api("cases").status_code == 400


def test_updated_cases_are_not_paged(classic: RunningSandbox, workflow: Workflow) -> None:
    """All that was updated since a time comes at once; `from` is required."""
    workflow.send(count=12)
    api = MetadataApi(classic)
    assert len(api("updatedcases?from=2020-01-01").json()) == 12
    assert api("updatedcases?from=2100-01-01T00:00:00Z").json() == []
    assert api("updatedcases").status_code == 400
    assert api("updatedcases?from=tomorrow").status_code == 400


def test_refusals_are_400_with_a_sentence(classic: RunningSandbox, workflow: Workflow) -> None:
    """Missing and forbidden differ by their text alone."""
    (case_id,) = workflow.send()
    own, other = MetadataApi(classic), MetadataApi(classic, classic.other_practice, "europe")
    assert own("cases/17").json() == {"Message": "No case with Id 17 could be found"}
    assert own(f"cases/{case_id}/version/9").status_code == 400
    assert own(f"cases/{case_id}/attachments/xyz").status_code == 400
    assert own(f"cases/{case_id}/comments/1/text").json() == {"Message": "Comment not found"}
    assert (
        other(f"cases/{case_id}").json()["Message"] == f"You don't have permission to access case {case_id}"
    )


def test_wrong_region_returns_an_empty_list(classic: RunningSandbox, workflow: Workflow) -> None:
    """Another region's server returns an empty list: the trap of a fixed region."""
    workflow.send()
    assert MetadataApi(classic, region="europe")("cases?page=0").json() == {"Cases": [], "Count": 0}


def test_both_sides_see_the_case(classic: RunningSandbox, workflow: Workflow) -> None:
    """The lab's own account sees the cases that practices sent it; another practice sees none."""
    (case_id,) = workflow.send()
    cases = MetadataApi(classic, classic.lab)("cases?page=0").json()["Cases"]
    assert [case["Id"] for case in cases] == [case_id]
    other = MetadataApi(classic, classic.other_practice, "europe")
    assert other("cases?page=0").json()["Count"] == 0


def test_state_is_changed_by_the_api(classic: RunningSandbox, workflow: Workflow) -> None:
    """`approved` and `rejected` are accepted, with an empty response; nothing else is."""
    (case_id,) = workflow.send()
    workflow.act(case_id, "receive", "accept", "request-approval")
    api = MetadataApi(classic)
    response = api(f"cases/{case_id}/state/rejected", "PUT")
    assert (response.status_code, response.content, pair(api, case_id)) == (
        200,
        b"",
        ("Designed", "Rejected"),
    )
    assert api(f"cases/{case_id}/state/Approved", "PUT").json() == {"Message": "Unsupported state: Approved"}


def test_dates_come_in_three_forms(classic: RunningSandbox, workflow: Workflow) -> None:
    """With and without zone, and with fractions of a second."""
    workflow.send(count=3)
    dates = [case["UpdatedOn"] for case in MetadataApi(classic)("cases?page=0").json()["Cases"]]
    assert {(date.endswith("Z"), "." in date) for date in dates} == {
        (True, False),
        (False, False),
        (True, True),
    }


def test_expired_token_is_500_in_its_scenario(classic: RunningSandbox) -> None:
    """The metadata API returns 500 for an expired token, as one of 3Shape's does."""
    api = MetadataApi(classic)
    api.http.headers["Authorization"] = "Bearer ended"
    assert api("cases?page=0").status_code == 401
    classic.set_scenarios("expired-500")
    response = api("cases?page=0")
    assert (response.status_code, response.text) == (500, "An error has occurred.")


def test_list_moves_in_its_scenario(classic: RunningSandbox, workflow: Workflow) -> None:
    """Cases jump to the top, or vanish, between two pages."""
    cases = workflow.send(count=25)
    api = MetadataApi(classic)
    classic.set_scenarios("cases-move")
    api("cases?page=0")
    assert api("cases?page=0").json()["Cases"][0]["Id"] == cases[0]
    classic.set_scenarios("cases-vanish")
    api("cases?page=0")
    assert api("cases?page=0").json()["Count"] == 24


@pytest.mark.parametrize(
    ("scenario", "servers"),
    [("no-servers", None), ("other-servers", "metadata/europe"), ("foreign-servers", "elsewhere.test")],
)
def test_wrong_servers_in_their_scenarios(
    classic: RunningSandbox, scenario: str, servers: str | None
) -> None:
    """`/api/servers` is missing, or names another region or host."""
    classic.set_scenarios(scenario)
    response = MetadataApi(classic)("servers")
    assert response.status_code == 404 if servers is None else servers in response.json()[0]


def test_unknown_status_can_be_set(classic: RunningSandbox, workflow: Workflow) -> None:
    """Any status can be set, to see how a client treats it."""
    (case_id,) = workflow.send()
    workflow.act(case_id, "status", state="Shipped", state_flag=None)
    assert pair(MetadataApi(classic), case_id) == ("Shipped", None)


def test_pages_play_the_workflow(classic: RunningSandbox, workflow: Workflow) -> None:
    """In the portal, clinic and lab see the case, its status, and the buttons of their turn alone."""
    clinic, lab = Visitor(classic), Visitor(classic)
    workflow.send()
    cases = f"{classic.portal_url}/cases"
    lab.sign_in(cases, classic.lab)
    page = clinic.sign_in(cases)
    assert "Scanned sent" in page.text
    clinic.submit(page, lab=LAB.id)
    case_id = requests.get(f"{classic.url}/sandbox/cases", timeout=TIMEOUT).json()["cases"][-1]["id"]
    for who, action, label in (
        (lab, "receive", "Scanned received"),
        (lab, "accept", "Scanned approved"),
        (lab, "request-approval", "Designed sent"),
        (clinic, "reject", "Designed rejected"),
        (lab, "resend", "Designed rejected"),
        (clinic, "approve", "Designed approved"),
    ):
        page = who.submit(who.open(f"{cases}/{case_id}"), action=action)
        assert f'role="status">{label}<' in page.text
    assert 'value="approve"' not in lab.open(f"{cases}/{case_id}").text
    assert lab.submit(lab.open(f"{cases}/{case_id}"), action="approve").status_code == 400


def test_pages_are_for_the_sides_of_a_case(classic: RunningSandbox, workflow: Workflow) -> None:
    """Another practice does not find the case in the portal."""
    (case_id,) = workflow.send()
    stranger = Visitor(classic)
    stranger.sign_in(f"{classic.portal_url}/cases", classic.other_practice)
    assert stranger.open(f"{classic.portal_url}/cases/{case_id}").status_code == 404


def test_broken_case_breaks_alone(classic: RunningSandbox, workflow: Workflow) -> None:
    """The first case is listed and returns 500; the others can be read."""
    first, second = workflow.send(count=2)
    classic.set_scenarios("broken-case")
    api = MetadataApi(classic)
    assert api("cases?page=0").json()["Count"] == 2
    assert [api(f"cases/{first}{path}").status_code for path in ("", "/version/1")] == [500, 500]
    assert [api(f"cases/{second}{path}").status_code for path in ("", "/version/1")] == [200, 200]


def test_date_header_can_be_wrong(classic: RunningSandbox) -> None:
    """With the scenario wrong-date, the APIs' clock is a day ahead."""
    api = MetadataApi(classic)
    right = parsedate_to_datetime(api("cases?page=0").headers["Date"])
    classic.set_scenarios("wrong-date")
    response = api("cases?page=0")
    assert response.headers["Date"].count(":") == 2
    ahead = parsedate_to_datetime(response.headers["Date"]) - right
    assert timedelta(hours=23) < ahead < timedelta(hours=25)


def test_late_updates_are_dated_back(classic: RunningSandbox, workflow: Workflow) -> None:
    """A case that appears now says that it was updated `late_seconds` ago."""
    classic.control(scenarios=["late-updates"], late_seconds=7200)
    workflow.send()
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    api = MetadataApi(classic)
    assert api("updatedcases", params={"from": since}).json() == []
    assert len(api("updatedcases?from=2020-01-01").json()) == 1
