"""Make the readers of practices' cases: each has the practice's token and region, and Ormco's labs."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from connector.clock import Clock
from connector.communicate.case_reader import CaseReader, Labs
from connector.communicate.client import ApiClient, Token
from connector.communicate.models import Case
from connector.communicate.regions import ApiRegion, api_region, resolve_region
from connector.connection import Connection
from connector.errors import CaseNotFoundError, SettingError
from connector.oauth.http import LARGE_LISTS, Transport
from connector.oauth.ormco import LAB_PREFIX
from connector.oauth.provider import Provider
from connector.resources import Resources

if TYPE_CHECKING:
    from connector.communicate.users import User

__all__ = ["CaseAccess"]

# A practice's region or lab connection may change during a watch.
_READER_SECONDS = 86400.0
_MOST_READERS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    reader: CaseReader
    account: str | None
    until: float


class CaseAccess:
    """Access to the metadata API in the name of practices and of Ormco's labs; thread-safe.

    Args:
        resources: settings, provider, token endpoint, store and clock.
        token: called as `token(practice_id, rejected)`, returns an access token; `rejected` is one that an
            API refused, or None.
    """

    def __init__(self, resources: Resources, token: Callable[[str, str | None], str]) -> None:
        self._resources = resources
        self._token = token
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._guard = threading.Lock()
        self._transport = Transport(LARGE_LISTS)
        self._opened: OrderedDict[tuple[str, str | None], _Opened] = OrderedDict()

    def close(self) -> None:
        """Close the network connections; the next call opens new ones."""
        self._transport.close()
        self._opened.clear()

    def reader(self, practice_id: str, region: str | None = None) -> CaseReader:
        """Return the reader of a practice's cases; it is kept for a day.

        Args:
            practice_id: the practice.
            region: the region of its cases, if a person has named it.

        Raises:
            connector.errors.ConnectorError: there is no connection, or its region cannot be found out.
        """
        if self._process != os.getpid():  # a forked child shares no TLS connection with its parent
            self._start()
        connection = self._resources.connection(practice_id)
        account = connection.account.id if connection.account else None
        now, key = self._resources.clock.monotonic(), (practice_id, region)
        with self._guard:
            opened = self._opened.get(key)
        if opened and opened.account == account and now < opened.until:
            return opened.reader
        reader = self._open(connection, region)
        with self._guard:
            self._opened[key] = _Opened(reader=reader, account=account, until=now + _READER_SECONDS)
            while len(self._opened) > _MOST_READERS:
                self._opened.popitem(last=False)
        return reader

    def lab_reader(self, practice_id: str, region: str) -> CaseReader | None:
        """Return a reader for Ormco's own lab account of a region, or None if none is connected."""
        lab_id = LAB_PREFIX + region
        if lab_id == practice_id or self._resources.store.connection(lab_id) is None:
            return None
        reader = self.reader(lab_id)
        if reader.region.name != region:
            raise SettingError(
                f"the account of {lab_id} is in {reader.region.name}",
                hint=f"Connect {lab_id} again, with the account of the lab of that region.",
            )
        return reader

    def case(
        self,
        practice_id: str,
        case_id: str,
        region: str | None,
        version: int | None = None,
        *,
        all_cases: bool,
    ) -> tuple[CaseReader, Case]:
        """Return a case that may be read, and its reader.

        Raises:
            connector.errors.CaseNotFoundError: the case does not exist, or is not shared with Ormco's lab.
        """
        reader = self.reader(practice_id, region)
        case = reader.get(case_id, version)
        if not all_cases and not reader.is_shared(case):
            raise CaseNotFoundError(
                "Ormco's lab is not among the actors of that case",
                hint="It is the practice's own. To read it all the same, ask for all cases.",
            )
        return reader, case

    def _open(self, connection: Connection, named: str | None) -> CaseReader:
        provider, clock = self._resources.provider, self._resources.clock
        token = partial(self._token, connection.practice_id)
        origins = [url for url in (provider.users_url, *provider.metadata_urls.values()) if url is not None]
        api = ApiClient(token, origins=origins, clock=clock, transport=self._transport)
        # Most cases need neither the labs' ids nor another region: then the users API is not called.
        read_user = partial(_read_user, provider, token, clock)
        stored = connection.account.region if connection.account else None
        emails = frozenset(email.casefold() for email in self._resources.config.labs.values())
        labs = Labs(emails=emails, find_ids=partial(_lab_ids, read_user, emails))
        if named is not None:
            return CaseReader(api, api_region(named, provider), labs)
        resolve = partial(_present_region, api, provider, read_user, stored)
        region = api_region(stored, provider) if stored is not None else resolve()
        return CaseReader(api, region, labs, resolve=resolve)


def _read_user(provider: Provider, token: Token, clock: Clock) -> User | None:
    from connector.communicate.users import UsersApi

    return UsersApi(provider, token, clock=clock).me() if provider.users_url else None


def _present_region(
    api: ApiClient, provider: Provider, read_user: Callable[[], User | None], stored: str | None
) -> ApiRegion:
    """Return an account's present region at the provider."""
    me = read_user()
    return resolve_region(api, provider, (me and me.account.region) or stored)


def _lab_ids(read_user: Callable[[], User | None], emails: Collection[str]) -> frozenset[str]:
    """Return the Communicate ids of Ormco's labs as an account knows them, case folded."""
    me = read_user()
    if me is None:
        return frozenset()
    known = [(me.account.id, me.account.email or ""), *((each.id, each.email) for each in me.connections)]
    return frozenset(id_.casefold() for id_, email in known if id_ and email.casefold() in emails)
