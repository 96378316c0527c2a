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

__all__ = ["CasePage", "CaseReader", "age_key", "merge", "refusal"]

_OLDEST = datetime(1900, 1, 1, tzinfo=UTC)
_CONFIRM_SECONDS = 86400.0


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
        lab_emails: the addresses of Ormco's labs, case folded.
        find_lab_ids: returns the labs' Communicate ids, case folded; calls the users API.
        resolve: finds the account's current region. A wrong region looks like one without cases, so this is
            called, at most once a day, if nothing was found; None if a person has named the region.
    """

    def __init__(
        self,
        api: ApiClient,
        region: ApiRegion,
        *,
        lab_emails: Collection[str],
        find_lab_ids: Callable[[], Collection[str]],
        resolve: Callable[[], ApiRegion] | None = None,
    ) -> None:
        self.api = api
        self.region: ApiRegion = region
        self._lab_emails = lab_emails
        self._find_lab_ids = find_lab_ids
        self._lab_ids: Collection[str] | None = None
        self._resolve = resolve
        self._confirm_at = float("-inf")

    def now(self) -> datetime:
        """Return the current time by the clock that is behind, the provider's or this machine's."""
        return min(self._clocks())

    def latest(self) -> datetime:
        """Return the current time by the clock that is ahead, the provider's or this machine's."""
        return max(self._clocks())

    def _clocks(self) -> tuple[datetime, datetime]:
        ours = self.api.clock.utc_now()
        return self.api.server_time or ours, ours

    def is_shared(self, case: Case) -> bool:
        """Return whether one of Ormco's labs is an actor of a case, or sent it."""
        if any((actor.email or "").casefold() in self._lab_emails for actor in case.actors):
            return True
        actors = {actor.id.casefold() for actor in case.actors}
        creator = (case.creator_id or "").casefold()
        if all(actor.email for actor in case.actors) and creator in actors | {""}:
            return False  # every party has an address, and none is a lab's: the users API is not needed
        if self._lab_ids is None:
            self._lab_ids = self._find_lab_ids()
        return not {creator, *actors}.isdisjoint(self._lab_ids)

    def get(self, case_id: str, version: int | None = None) -> Case:
        """Return the newest version of a case, or the one with this number.

        Raises:
            connector.errors.CaseNotFoundError: the case does not exist, or this account may not see it.
        """
        if not is_case_id(case_id):
            raise CaseNotFoundError(
                "that is not the id of a case", hint="List the practice's cases to see their ids."
            )
        path = f"cases/{case_id}" + ("" if version is None else f"/version/{version}")
        try:
            received = self._get(path)
        except CaseNotFoundError:
            if version is not None or not self._has_moved():
                raise
            received = self._get(path)
        case = read_case(received)
        if case is None or case.id != case_id.lower():
            raise self.unexpected()
        if version is not None and case.version not in (version, 0):
            raise CaseNotFoundError(f"the provider gives version {case.version} of the case instead")
        return case

    def find(self, case_id: str, version: int) -> Case | None:
        """Return one version of a case, or None if it does not exist or this account may not see it."""
        try:
            return self.get(case_id, version)
        except CaseNotFoundError:
            return None

    def updated(self, since: datetime) -> list[Case]:
        """Return the newest version of each case that was updated since then, the oldest first."""
        items, _ = self._list("updatedcases", {"from": isoformat(since)})
        newest: dict[str, Case] = {}
        merge(newest, filter(None, map(read_case, items)))
        return sorted(newest.values(), key=age_key)

    def page(self, number: int, since: datetime | None, until: datetime | None) -> CasePage:
        """Return a page of the list, the newest cases first; the first page is number 0."""
        params = {"page": number, "from": isoformat(since), "to": isoformat(until)}
        items, count = self._list("cases", params)
        cases = [case for item in items if (case := read_case(item))]
        return CasePage(cases=cases, size=len(items), count=count)

    def _list(self, path: str, params: dict[str, Any]) -> tuple[list[Any], int | None]:
        """Return the entries of a list and its own count, from another region if the account has moved."""
        received = self._get(path, params)
        fields = {"cases": received} if isinstance(received, list) else lowered(received)
        items = fields.get("cases")
        if not isinstance(items, list):
            raise self.unexpected()
        if not items and not params.get("page") and self._has_moved():
            return self._list(path, params)  # at most once: `_has_moved` is then False for a day
        count = fields.get("count")
        return items, count if type(count) is int and count >= 0 else None

    def unexpected(self, what: str = "something that is not a case") -> ProviderUnavailableError:
        """Return the error for a response that cannot be used."""
        return unexpected_response(self.region.api_url, what)

    def _get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        return self.api.get(self.region.api_url + path, params, refusal=refusal)

    def _has_moved(self) -> bool:
        now = self.api.clock.monotonic()
        if self._resolve is None or now < self._confirm_at:
            return False
        before, self.region = self.region, self._resolve()
        self._confirm_at = now + _CONFIRM_SECONDS
        return self.region != before


def refusal(response: requests.Response, clock: Clock) -> ConnectorError:
    """Return the error for an error response of the metadata API, and close the response.

    Refusals are distinguished by their text: for a missing and for a forbidden case the status is 400.
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
                "the provider does not know that id",
                hint="Check the id of the case and the practice's region.",
            )
    if status in (401, 403) and "insufficient_scope" in response.headers.get("WWW-Authenticate", ""):
        return ClientRefusedError(
            "the token's scope does not allow reading cases",
            hint="Add api to ORMCO_SCOPE, and connect the practice again.",
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
