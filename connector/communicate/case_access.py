"""Opens what reads a practice's cases: its token, its region, and Ormco's labs as it knows them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from connector.communicate.case import Case
from connector.communicate.case_reader import CaseReader
from connector.communicate.client import AuthorizedSession
from connector.communicate.lab_access import LAB_PREFIX
from connector.communicate.metadata import MetadataApi, Renewal
from connector.communicate.regions import find_place, place_in
from connector.communicate.users_api import UsersApi
from connector.connection import Connection, ConnectionState
from connector.errors import CaseNotFoundError, SettingError
from connector.oauth.http import LARGE_LISTS, Transport
from connector.resources import Resources

__all__ = ["CaseAccess"]

# A practice may be given another region or lab connection while a watch goes on.
_PLACE_SECONDS = 3600.0
_CUT_OFF = frozenset({ConnectionState.REVOKING, ConnectionState.REVOKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    reader: CaseReader
    account: str | None
    until: float


class CaseAccess:
    """Access to the metadata API in the name of practices and of Ormco's labs; thread-safe.

    Args:
        resources: what to work with.
        token: called as `token(practice_id, refreshed)`, returns an access token, refreshed first if asked.
    """

    def __init__(self, resources: Resources, token: Callable[[str, bool], str]) -> None:
        self._resources = resources
        self._token = token
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._transport = Transport(LARGE_LISTS)
        self._guard = threading.Lock()
        self._opened: dict[str, _Opened] = {}
        self._renewals: dict[str, Renewal] = {}

    def close(self) -> None:
        """Close the connections that are kept alive; the next call opens new ones."""
        self._transport.close()
        self._opened.clear()

    def reader(self, practice_id: str, region: str | None = None) -> CaseReader:
        """Return what reads a practice's cases; where they are is found out once an hour.

        Args:
            practice_id: whose connection.
            region: where its cases are, if a person says so.

        Raises:
            connector.errors.ConnectorError: there is no connection, or no telling where its cases are.
        """
        if self._process != os.getpid():  # a forked child shares no TLS connection with its parent
            self._start()
        connection = self._connection(practice_id)
        if region is not None:
            return self._open(connection, region)
        account = connection.account.id if connection.account else None
        now = self._resources.clock.monotonic()
        with self._guard:
            opened = self._opened.get(practice_id)
        if opened and opened.account == account and now < opened.until:
            return opened.reader
        reader = self._open(connection, None)
        with self._guard:
            self._opened[practice_id] = _Opened(reader=reader, account=account, until=now + _PLACE_SECONDS)
        return reader

    def lab_reader(self, practice_id: str, region: str) -> CaseReader | None:
        """Return what speaks as Ormco's own lab account of a region, or None where none is connected."""
        lab_id = f"{LAB_PREFIX}{region}"
        if lab_id == practice_id or self._resources.store.connection(lab_id) is None:
            return None
        reader = self.reader(lab_id)
        if reader.place.region != region:
            raise SettingError(
                f"the account of {lab_id} is in {reader.place.region}",
                hint=f"Connect it anew as the lab of that region: ormco connect {lab_id}",
            )
        return reader

    def shared(self, reader: CaseReader, case_id: str, version: int | None, *, all_cases: bool) -> Case:
        """Return a case, if it may be read out.

        Raises:
            connector.errors.CaseNotFoundError: there is none, or it is not shared with Ormco's lab.
        """
        case = reader.get(case_id, version)
        if not all_cases and not reader.is_shared(case):
            raise CaseNotFoundError(
                "Ormco's lab is not among the actors of that case",
                hint="It is the practice's own. To read it all the same: --all-cases.",
            )
        return case

    def practices(self) -> Iterator[str]:
        """Yield every practice that is not revoked; Ormco's own labs would bring each event twice."""
        provider = self._resources.provider.name
        for connection in self._resources.store.connections():
            is_lab = connection.practice_id.startswith(LAB_PREFIX)
            if connection.provider == provider and not is_lab and connection.state not in _CUT_OFF:
                yield connection.practice_id

    @property
    def origins(self) -> Collection[str]:
        """The provider's own origins, which may see a token."""
        provider = self._resources.provider
        return [url for url in (provider.users_url, *provider.metadata_urls.values()) if url is not None]

    def _open(self, connection: Connection, region: str | None) -> CaseReader:
        provider, config, clock = self._resources.provider, self._resources.config, self._resources.clock
        practice_id = connection.practice_id
        with self._guard:
            # Kept for as long as this process lives: a token is not renewed at every look into an outage.
            fresh = Renewal(partial(self._token, practice_id), clock=clock)
            renewal = self._renewals.setdefault(practice_id, fresh)
        session = AuthorizedSession(renewal.token, origins=self.origins)
        # One pool of connections for all practices; cookies and tokens are each practice's own.
        session.mount("https://", self._transport)
        session.mount("http://", self._transport)
        api = MetadataApi(session, renewal, clock=clock)
        me = UsersApi(provider, renewal.token, clock=clock).me() if provider.users_url else None
        if region is not None:
            place = place_in(region, provider, me=me, labs=config.labs)
        else:
            place = find_place(api, provider, me=me, stored=connection.account, labs=config.labs)
        return CaseReader(api, place)

    def _connection(self, practice_id: str) -> Connection:
        connection, provider = self._resources.store.existing(practice_id), self._resources.provider
        if connection.provider != provider.name:
            raise SettingError(
                f"{practice_id} is connected at {connection.provider}, not at {provider.name}",
                hint=f"Use --provider {connection.provider}.",
            )
        return connection
