"""Read the cases of one account: one case, its versions, the list, and updated cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from connector.clock import Clock, isoformat
from connector.communicate.client import ApiClient, read_refusal, unavailable, unexpected_response
from connector.communicate.models import Case, is_case_id, lowered, read_case
from connector.communicate.regions import ApiRegion
from connector.errors import CaseNotFoundError, ClientRefusedError, ConnectorError, ProviderUnavailableError

__all__ = ["CasePage", "CaseReader", "Labs", "age_key", "merge", "refusal"]

_OLDEST = datetime(1900, 1, 1, tzinfo=UTC)
_CONFIRM_SECONDS = 86400.0


@dataclass(slots=True, kw_only=True)
class Labs:
    """Ormco's labs as an account knows them.

    Attributes:
        emails: their addresses, case folded.
        find_ids: returns their Communicate ids, case folded; asks the users API.
    """

    emails: Collection[str]
    find_ids: Callable[[], Collection[str]]
    _ids: Collection[str] | None = None

    def take_part_in(self, case: Case) -> bool:
        """Return whether one of the labs is an actor of a case or sent it."""
        if case.involves((), self.emails):
            return True
        ids = {actor.id.casefold() for actor in case.actors}
        if all(actor.email for actor in case.actors) and (case.creator_id or "").casefold() in ids | {""}:
            return False  # every party has an address, and none is a lab's: the users API need not be called
        if self._ids is None:
            self._ids = self.find_ids()
        return case.involves(self._ids, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CasePage:
    """A page of the list of cases.

    Attributes:
        size: the number of entries on it, readable or not.
        count: the number of entries in the whole list, by its own count, or None.
    """

    cases: list[Case]
    size: int
    count: int | None


class CaseReader:
    """Reads the metadata API's cases in one account's region.

    Args:
        api: the account's API client.
        region: the region of its cases.
        labs: Ormco's labs.
        resolve: finds the account's present region. A wrong region answers like an empty one, so this is
            called, at most once a day, if nothing was found; None if a person has named the region.

    Attributes:
        region: the region of its cases.
        is_shared: returns whether Ormco's lab takes part in a case.
    """

    def __init__(
        self, api: ApiClient, region: ApiRegion, labs: Labs, *, resolve: Callable[[], ApiRegion] | None = None
    ) -> None:
        self.api = api
        self.region: ApiRegion = region
        self.is_shared: Callable[[Case], bool] = labs.take_part_in
        self._resolve = resolve
        self._confirm_at = float("-inf")

    def now(self) -> datetime:
        """Return the present time: the provider's, by its last response, unless that is ahead of ours."""
        ours = self.api.clock.utc_now()
        return min(self.api.server_time or ours, ours)

    def get(self, case_id: str, version: int | None = None) -> Case:
        """Return the newest version of a case, or the one with this number.

        Raises:
            connector.errors.CaseNotFoundError: the case does not exist, or this account may not see it.
        """
        if not is_case_id(case_id):
            raise CaseNotFoundError(
                "that is not the id of a case", hint="List the practice's cases for their ids."
            )
        path = f"cases/{case_id}" + ("" if version is None else f"/version/{version}")
        try:
            answer = self._get(path)
        except CaseNotFoundError:
            if version is not None or not self._has_moved():
                raise
            answer = self._get(path)
        case = read_case(answer)
        if case is None or case.id != case_id.lower():
            raise self.unexpected()
        return case

    def find(self, case_id: str, version: int) -> Case | None:
        """Return one version of a case, or None if it does not exist or this account may not see it."""
        try:
            return self.get(case_id, version)
        except CaseNotFoundError:
            return None

    def updated(self, since: datetime, until: datetime | None = None) -> list[Case]:
        """Return the newest version of each case that was updated in a span of time, the oldest first."""
        # A wrong region answers like an empty one.
        found = self._updated(since, until)
        return self._updated(since, until) if not found and self._has_moved() else found

    def _has_moved(self) -> bool:
        now = self.api.clock.monotonic()
        if self._resolve is None or now < self._confirm_at:
            return False
        before, self.region = self.region, self._resolve()
        self._confirm_at = now + _CONFIRM_SECONDS
        return self.region != before

    def _updated(self, since: datetime, until: datetime | None) -> list[Case]:
        params = {"from": isoformat(since) or ""} | ({"to": isoformat(until) or ""} if until else {})
        answer = self._get("updatedcases", params)
        if isinstance(answer, dict):
            answer = lowered(answer).get("cases")
        if not isinstance(answer, list):
            raise self.unexpected()
        newest: dict[str, Case] = {}
        merge(newest, (case for item in answer if (case := read_case(item))))
        return sorted(newest.values(), key=age_key)

    def page(self, number: int, since: datetime | None, until: datetime | None) -> CasePage:
        """Return a page of the list, the newest cases first; the first page is number 0."""
        params: dict[str, str | int] = {"page": number}
        params |= {"from": isoformat(since) or ""} if since else {}
        params |= {"to": isoformat(until) or ""} if until else {}
        answer = self._get("cases", params)
        fields = lowered(answer)
        items, count = fields.get("cases"), fields.get("count")
        if not isinstance(items, list):
            raise self.unexpected()
        if number == 0 and not items and self._has_moved():
            return self.page(number, since, until)  # once: from then on, it has not moved
        known = isinstance(count, int) and not isinstance(count, bool) and count >= 0
        cases = [case for item in items if (case := read_case(item))]
        return CasePage(cases=cases, size=len(items), count=count if known else None)

    def _get(self, path: str, params: dict[str, str | int] | dict[str, str] | None = None) -> Any:
        return self.api.get(self.region.api_url + path, params, refusal=refusal)

    def unexpected(self, what: str = "something that is not a case") -> ProviderUnavailableError:
        """Return the error for a response that cannot be used."""
        return unexpected_response(self.region.api_url, what)


def refusal(response: requests.Response, clock: Clock) -> ConnectorError:
    """Return the error for a response of the metadata API that is no success, and close the response.

    Refusals are distinguished by their text: missing and forbidden are both 400.
    """
    status, text = response.status_code, read_refusal(response).lower()
    if status in (400, 403, 404):
        if "permission" in text:
            return CaseNotFoundError(
                "the provider does not show this to the account",
                hint="Only the parties of a case see it. STL files are for the region's own lab account.",
            )
        if status == 404 or "could be found" in text or "not found" in text or text.startswith("no "):
            return CaseNotFoundError(
                "the provider knows nothing of that id",
                hint="Check the id of the case and the practice's region.",
            )
    if status in (401, 403) and "insufficient_scope" in response.headers.get("WWW-Authenticate", ""):
        return ClientRefusedError(
            "the token does not open cases: its scope is too small",
            hint="Set ORMCO_SCOPE to one with the scope api, and connect the practice again.",
        )
    return unavailable(response, clock)


def merge(found: dict[str, Case], cases: Iterable[Case]) -> None:
    """Add cases to those found already, keeping the newest version of each."""
    for case in cases:
        known = found.get(case.id)
        if known is None or known.version <= case.version:
            found[case.id] = case


def age_key(case: Case) -> tuple[datetime, str]:
    """Return the sort key of cases: the time of their last change."""
    return case.at or _OLDEST, case.id
