"""Ormco as a lab in a practice's account: every state it can be found in, the lab's side, and the wait."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connector import Config, Connector, LabConnection
from connector.communicate.lab_report import LabReport
from connector.errors import (
    AccountMismatchError,
    ClientRefusedError,
    ConnectionNotFoundError,
    LabConnectionNotFoundError,
    ProviderUnavailableError,
    SettingError,
    StillWaitingError,
)
from tests.support.applications import without_users
from tests.support.clock import ManualClock
from tests.support.connecting import connect, opened, settings
from tests.support.lab import EMAILS, UsersApi, lab_of
from tests.support.responses import json_response, serving
from tests.support.sandbox import RunningSandbox, running_sandbox

PRACTICE = "practice-42"
LAB = EMAILS["americas"]


@pytest.fixture(params=["classic", "identity"])
def sandbox(request: pytest.FixtureRequest) -> RunningSandbox:
    """A sandbox whose lab approves nothing by itself."""
    running: RunningSandbox = request.getfixturevalue(request.param)
    running.control(approval_seconds=None)
    return running


@pytest.fixture
def patient(classic: RunningSandbox) -> RunningSandbox:
    """The same, of the classic generation only."""
    classic.control(approval_seconds=None)
    return classic


class Naps(ManualClock):
    """Gives other threads a little real time too: they refresh during the wait."""

    def sleep(self, seconds: float) -> None:
        time.sleep(0.002)
        super().sleep(seconds)

    @property
    def pauses(self) -> list[float]:
        """The naps between two looks, without those before a lock."""
        return [nap for nap in self.naps if nap > 0.5]


@pytest.fixture
def clock() -> Naps:
    return Naps()


@pytest.fixture
def connector(patient: RunningSandbox, store_url: str, clock: Naps) -> Iterator[Connector]:
    """A connector with the practice connected."""
    with connected(patient, store_url, clock) as connector:
        yield connector


@contextmanager
def connected(
    sandbox: RunningSandbox, store_url: str, clock: Naps | None = None, **env: str
) -> Iterator[Connector]:
    """A connector with the practice connected."""
    config = Config.from_env(settings(sandbox, store_url, **env))
    with Connector.from_config(config, clock=clock) as connector:
        connect(connector, sandbox, PRACTICE)
        yield connector


def summary(report: LabReport) -> tuple[str, str | None, str]:
    return report.lab.state, report.waiting_on, report.step


def lab_events(connector: Connector) -> list[tuple[str, str]]:
    found = connector.events(practice_id=PRACTICE)
    return [(event.outcome, event.detail["step"]) for event in found if event.kind == "lab"]


def test_from_nothing_to_active(patient: RunningSandbox, connector: Connector) -> None:
    """Asked for once, waiting, accepted by the lab; each state is stored, with its events."""
    assert summary(connector.lab.status(PRACTICE)) == ("none", None, "none")
    assert summary(connector.lab.request(PRACTICE)) == ("requested", "lab", "request")
    assert summary(connector.lab.request(PRACTICE)) == ("requested", "lab", "none")
    UsersApi(patient, lab_of(patient, "americas")).approve_all()
    assert summary(connector.lab.request(PRACTICE)) == ("active", None, "none")
    assert connector.status(PRACTICE).lab == LabConnection(state="active", email=LAB)
    assert lab_events(connector) == [("none", "none"), ("requested", "request"), ("active", "none")]
    practice = UsersApi(patient, patient.practice).me()
    assert [row["RemoteUserEmail"] for row in practice["Connections"]] == ["Insignia.Support@ormco.com"]


def test_response_to_a_request_is_read_from_the_provider(store_url: str) -> None:
    """After a request the state is read again: a lab that accepts at once is active, and stored so."""
    with running_sandbox(approval_seconds=0) as eager, connected(eager, store_url) as connector:
        assert summary(connector.lab.request(PRACTICE)) == ("active", None, "request")
        assert connector.status(PRACTICE).lab == LabConnection(state="active", email=LAB)


def test_lab_of_the_accounts_own_region(patient: RunningSandbox, store_url: str) -> None:
    """A European practice asks the European lab, though all of them answer to the same name."""
    with opened(settings(patient, store_url)) as connector:
        connect(connector, patient, PRACTICE, patient.other_practice)
        report = connector.lab.request(PRACTICE)
    assert (report.region, report.lab.email) == ("europe", EMAILS["europe"])
    rows = UsersApi(patient, patient.other_practice).me()["Connections"]
    assert [row["RemoteUserEmail"].lower() for row in rows] == [EMAILS["europe"]]


def test_request_of_the_lab_is_accepted(patient: RunningSandbox, connector: Connector) -> None:
    """A request that came from the lab waits for the practice, and `request` accepts it."""
    UsersApi(patient, lab_of(patient, "americas")).ask(patient.practice.username)
    assert summary(connector.lab.status(PRACTICE)) == ("requested", "practice", "none")
    assert summary(connector.lab.request(PRACTICE)) == ("active", None, "approve")


@pytest.mark.parametrize(
    ("accepted", "words"),
    [(False, "the lab rejected it"), (True, "the lab removed it")],
    ids=["rejected", "deleted"],
)
def test_ended_connection(accepted: bool, words: str, patient: RunningSandbox, connector: Connector) -> None:
    """A rejected request and a deleted connection are distinguished, and can be requested again."""
    lab = UsersApi(patient, lab_of(patient, "americas"))
    connector.lab.request(PRACTICE)
    if accepted:
        lab.approve_all()
        connector.lab.status(PRACTICE)
    lab.remove_all()
    report = connector.lab.status(PRACTICE)
    assert report.lab.state == "none"
    assert words in report.found
    assert summary(connector.lab.request(PRACTICE)) == ("requested", "lab", "request")


def test_lab_of_another_region_is_named(patient: RunningSandbox, connector: Connector) -> None:
    """Ormco's lab of the wrong region among the connections does not count, and is named."""
    UsersApi(patient, patient.practice).ask(EMAILS["europe"])
    UsersApi(patient, lab_of(patient, "europe")).approve_all()
    report = connector.lab.status(PRACTICE)
    assert report.lab == LabConnection(state="none", email=LAB)
    assert report.others == (LabConnection(state="active", email="Insignia.SupportEurope@ormco.com"),)
    assert "Insignia.SupportEurope@ormco.com" in report.warning


def test_region_by_name(connector: Connector) -> None:
    """A person may say which lab, by the practice's location."""
    assert connector.lab.request(PRACTICE, region="europe").lab.email == EMAILS["europe"]
    with pytest.raises(SettingError, match="in moon"):
        connector.lab.request(PRACTICE, region="moon")


def test_lab_address_is_a_setting(patient: RunningSandbox, store_url: str) -> None:
    """Another lab can take the place of Ormco's; one that nobody knows is refused with the portal's steps.

    So is an account that has the address and is no lab.
    """
    with connected(patient, store_url, ORMCO_LAB_AMERICAS="Hello@Harbour-Lab.test") as connector:
        assert connector.lab.request(PRACTICE).lab.state == "requested"
    for number, email in enumerate((patient.other_practice.username, "nobody@lab.test")):
        with connected(patient, f"{store_url}{number}", ORMCO_LAB_AMERICAS=email) as connector:
            with pytest.raises(LabConnectionNotFoundError, match="knows no lab with the address") as caught:
                connector.lab.request(PRACTICE)
    assert f'{patient.portal_url}); under "Connections", select "Add Connection"' in caught.value.hint
    assert 'type nobody@lab.test and select "Find"' in caught.value.hint


def test_lab_approves_a_practice(sandbox: RunningSandbox, store_url: str) -> None:
    """The lab of the practice's region accepts its request at once."""
    with connected(sandbox, store_url) as connector:
        with pytest.raises(ConnectionNotFoundError, match="stored for lab:americas"):
            connector.lab.approve(PRACTICE)
        connect(connector, sandbox, "lab:americas", sandbox.lab)
        with pytest.raises(LabConnectionNotFoundError, match="has not asked"):
            connector.lab.approve(PRACTICE)
        connector.lab.request(PRACTICE)
        assert summary(connector.lab.approve(PRACTICE)) == ("active", None, "approve")
        assert summary(connector.lab.approve(PRACTICE)) == ("active", None, "none")
        assert lab_events(connector) == [("none", "none"), ("requested", "request"), ("active", "approve")]
        assert connector.lab.status(PRACTICE).lab.state == "active"


def test_lab_approves_all_that_wait(patient: RunningSandbox, connector: Connector) -> None:
    """A lab sees who waits, stored here or not, and accepts one by one."""
    UsersApi(patient, patient.other_practice).ask(LAB)
    connect(connector, patient, "lab:americas", patient.lab)
    connector.lab.request(PRACTICE)
    waiting = connector.lab.requests("lab:americas")
    assert {partner.email for partner in waiting} == {
        patient.practice.username,
        patient.other_practice.username,
    }
    for partner in waiting:
        connector.lab.accept("lab:americas", partner)
    assert connector.lab.requests("lab:americas") == []
    assert connector.status(PRACTICE).lab == LabConnection(state="active", email=LAB)


def test_lab_that_is_another_account(patient: RunningSandbox, connector: Connector) -> None:
    """A lab's name that belongs to another account accepts nothing."""
    connect(connector, patient, "lab:americas", lab_of(patient, "europe"))
    connector.lab.request(PRACTICE)
    with pytest.raises(AccountMismatchError, match="lab:americas is connected to Insignia.SupportEurope"):
        connector.lab.approve(PRACTICE)


def test_no_lab(connector: Connector) -> None:
    """Only Ormco's three labs have a side of their own, and none of them asks to connect to itself."""
    for lab_id in ("lab:moon", PRACTICE):
        with pytest.raises(SettingError, match="not one of Ormco's labs"):
            connector.lab.requests(lab_id)
    with pytest.raises(SettingError, match="not a practice"):
        connector.lab.request("lab:americas")


def test_wait_polls_at_growing_intervals(connector: Connector, clock: Naps) -> None:
    """A wait of a day reads at growing intervals of up to about five minutes, and outlives its tokens."""
    with pytest.raises(StillWaitingError) as caught:
        connector.lab.request(PRACTICE, wait=86400)
    assert connector.status(PRACTICE).token_generation > 20
    assert sum(clock.naps) == pytest.approx(86400, abs=60)
    assert 250 <= len(clock.pauses) <= 350
    assert clock.pauses[0] < 2.5
    assert max(clock.pauses) <= 360
    assert len({round(pause, 3) for pause in clock.pauses}) > 200
    assert "24 hours" in caught.value.hint


def test_wait_ends_when_the_lab_accepts(patient: RunningSandbox, connector: Connector) -> None:
    """The wait reports its reason, detects the lab's approval, and can continue in another process."""
    waited: list[LabReport] = []

    def accept(report: LabReport) -> None:
        waited.append(report)
        UsersApi(patient, lab_of(patient, "americas")).approve_all()

    connector.lab.request(PRACTICE)
    report = connector.lab.status(PRACTICE, wait=600, waiting=accept)
    assert [each.waiting_on for each in waited] == ["lab"]
    assert report.is_active


@pytest.mark.parametrize("scenario", ["outage", "rate-limited", "text-500", "captive-portal"])
def test_wait_outlives_an_outage(
    scenario: str, patient: RunningSandbox, connector: Connector, clock: Naps
) -> None:
    """A failure that may pass does not end a wait; without a wait it is reported at once."""

    def interrupt(report: LabReport) -> None:
        UsersApi(patient, lab_of(patient, "americas")).approve_all()
        patient.set_scenarios(scenario)
        restore.append(lambda: patient.set_scenarios())

    restore: list[Callable[[], None]] = []
    sleep = clock.sleep

    def nap(seconds: float) -> None:
        sleep(seconds)
        if len(clock.naps) > 2 and restore:
            restore.pop()()

    clock.sleep = nap  # type: ignore[method-assign]
    assert connector.lab.request(PRACTICE, wait=600, waiting=interrupt).is_active
    patient.set_scenarios(scenario)
    with pytest.raises(ProviderUnavailableError):
        connector.lab.status(PRACTICE)


def test_wait_without_a_request(patient: RunningSandbox, connector: Connector) -> None:
    """There is no wait for a request that was never made, or was rejected meanwhile."""

    def reject(report: LabReport) -> None:
        UsersApi(patient, lab_of(patient, "americas")).remove_all()

    with pytest.raises(LabConnectionNotFoundError, match="not among"):
        connector.lab.status(PRACTICE, wait=600)
    with pytest.raises(LabConnectionNotFoundError, match="is gone"):
        connector.lab.request(PRACTICE, wait=600, waiting=reject)


def test_lab_waits_for_a_practice_to_ask(patient: RunningSandbox, connector: Connector) -> None:
    """The lab's side may wait too, and accepts as soon as it is asked."""

    def ask(report: LabReport) -> None:
        UsersApi(patient, patient.practice).ask(LAB)

    connect(connector, patient, "lab:americas", patient.lab)
    report = connector.lab.approve(PRACTICE, wait=600, waiting=ask)
    assert summary(report) == ("active", None, "approve")


ACCOUNT = {"Id": "me-1", "Email": "front.desk@practice.test", "RegionUri": "us.3shapecommunicate.com"}
ASKED = {"Id": "c-1", "ConnectionAccepted": False, "InviterUserId": "me-1", "RemoteUserEmail": LAB}
ASKS_US = {"Id": "c-1", "ConnectionAccepted": False, "InviterUserEmail": LAB, "RemoteUserId": "me-1"}


@contextmanager
def with_responses(sandbox: RunningSandbox, folder: Path, *responses: bytes) -> Iterator[Connector]:
    """A practice that is connected at the sandbox, whose users API gives these responses."""
    me = json_response(ACCOUNT | {"Connections": []})
    with serving(me, *responses) as server:
        env = {"ORMCO_PROVIDER": without_users(sandbox, folder, url=server.url)}
        with connected(sandbox, f"sqlite:///{folder / 'c.db'}", None, **env) as connector:
            yield connector


REFUSED = json_response({"Message": "The connection already exists."}, 400)
FOUND = json_response({"Id": "L", "Email": LAB})
NOBODY = json_response(ACCOUNT | {"Connections": []})


def test_request_for_an_existing_connection(patient: RunningSandbox, tmp_path: Path) -> None:
    """A request that is refused because there is one by now is as good as one that was made."""
    now_there = json_response(ACCOUNT | {"Connections": [ASKED]})
    with with_responses(patient, tmp_path, NOBODY, FOUND, REFUSED, now_there) as connector:
        assert connector.lab.request(PRACTICE).lab.state == "requested"


@pytest.mark.parametrize(
    ("refusal", "error"),
    [(REFUSED, LabConnectionNotFoundError), (json_response({"Message": "No."}, 403), ClientRefusedError)],
    ids=["refused", "forbidden"],
)
def test_refused_by_the_api(
    refusal: bytes, error: type[Exception], patient: RunningSandbox, tmp_path: Path
) -> None:
    """If the API refuses, the error has the guide's steps in the portal."""
    with with_responses(patient, tmp_path, NOBODY, FOUND, refusal, NOBODY) as connector:
        with pytest.raises(error) as caught:
            connector.lab.request(PRACTICE)
    assert f'type {LAB} and select "Find"' in caught.value.hint  # type: ignore[attr-defined]


def test_approval_refused_by_the_api(patient: RunningSandbox, tmp_path: Path) -> None:
    """An approval that the API refuses can be given in the portal."""
    asks_us = json_response(ACCOUNT | {"Connections": [ASKS_US]})
    with with_responses(patient, tmp_path, asks_us, REFUSED) as connector:
        with pytest.raises(LabConnectionNotFoundError, match="already exists") as caught:
            connector.lab.request(PRACTICE)
    assert "accept it under" in caught.value.hint


def test_provider_without_users_api(patient: RunningSandbox, tmp_path: Path, store_url: str) -> None:
    """If there is no users API, and so no account, the error says so and nothing is tried."""
    text = Path(patient.provider_file).read_text("utf-8")
    (tmp_path / "provider.toml").write_text(re.sub("users_url = .*", "", text), encoding="utf-8")
    with connected(patient, store_url, ORMCO_PROVIDER=str(tmp_path / "provider.toml")) as connector:
        with pytest.raises(SettingError, match="no users API"):
            connector.lab.status(PRACTICE)
        with pytest.raises(SettingError, match="account of practice-42 is not known"):
            connector.lab.approve(PRACTICE)


@pytest.mark.usefixtures("connector")
def test_another_provider(patient: RunningSandbox, store_url: str) -> None:
    """The token of one provider is not shown to the hosts of another."""
    with opened(settings(patient, store_url, ORMCO_PROVIDER="sandbox")) as other:
        with pytest.raises(SettingError, match="is connected at"):
            other.lab.status(PRACTICE)


def test_practice_that_is_forgotten_during_a_wait(connector: Connector) -> None:
    """A practice that is forgotten during a wait is not waited for any more, and does not come back."""
    with pytest.raises(ConnectionNotFoundError):
        connector.lab.request(PRACTICE, wait=60, waiting=lambda report: connector.forget(PRACTICE))
    assert list(connector.connections()) == []
