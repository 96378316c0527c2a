"""Create readers of practices' cases: each has the practice's token and region, and Ormco's labs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from connector.communicate.case_reader import CaseReader
from connector.communicate.client import ApiClient
from connector.communicate.models import Case
from connector.communicate.regions import ApiRegion, api_region, resolve_region
from connector.connection import Connection
from connector.errors import CaseNotFoundError, SettingError
from connector.oauth.http import LARGE_LISTS, Transport
from connector.oauth.ormco import LAB_PREFIX
from connector.process import after_fork
from connector.resources import Resources

if TYPE_CHECKING:
    from connector.communicate.users import User

__all__ = ["CaseAccess"]

# A reader is replaced after this time, because a practice's region or lab connection may change.
_READER_SECONDS = 86400.0
_MOST_READERS = 20_000


class CaseAccess:
    """Access to the metadata API for practices and for Ormco's labs; thread-safe.

    Args:
        resources: settings, provider, token endpoint, store and clock.
        token: called as `token(practice_id, rejected)`, returns an access token; `rejected` is one that an
            API refused, or None.
    """

    def __init__(self, resources: Resources, token: Callable[[str, str | None], str]) -> None:
        self._resources = resources
        self._token = token
        after_fork(self)
        self.start_in_child()

    def start_in_child(self) -> None:
        """Reset the state: a forked child must not share TLS connections with its parent."""
        self._guard = threading.Lock()
        self._transport = Transport(LARGE_LISTS)
        # By practice, named region and account, with the time until which the reader is kept.
        self._opened: dict[tuple[str, str | None, str | None], tuple[CaseReader, float]] = {}

    def close(self) -> None:
        """Close the network connections; the next call opens new ones."""
        self._transport.close()
        self._opened.clear()

    def reader(self, practice_id: str, region: str | None = None) -> CaseReader:
        """Return the reader of a practice's cases; it is kept for a day.

        Raises:
            connector.errors.ConnectorError: there is no connection, or its region cannot be determined.
        """
        connection = self._resources.connection(practice_id)
        account, now = connection.account, self._resources.clock.monotonic()
        key = (practice_id, region, account.id if account else None)
        with self._guard:
            opened = self._opened.get(key)
        if opened is not None and now < opened[1]:
            return opened[0]
        reader = self._open(connection, region)
        with self._guard:
            self._opened[key] = (reader, now + _READER_SECONDS)
            if len(self._opened) > _MOST_READERS:
                del self._opened[next(iter(self._opened))]
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
                hint="It is the practice's own. To read it anyway, ask for all cases.",
            )
        return reader, case

    def _open(self, connection: Connection, named: str | None) -> CaseReader:
        provider, clock = self._resources.provider, self._resources.clock
        token = partial(self._token, connection.practice_id)
        origins = [url for url in (provider.users_url, *provider.metadata_urls.values()) if url is not None]
        api = ApiClient(token, origins=origins, clock=clock, transport=self._transport)
        stored = connection.account.region if connection.account else None
        lab_emails = frozenset(email.casefold() for email in self._resources.config.labs.values())

        # Called only if needed: most cases need neither the labs' ids nor another region.
        def read_user() -> User | None:
            from connector.communicate.users import UsersApi

            return UsersApi(provider, token, clock=clock).me() if provider.users_url else None

        def resolve() -> ApiRegion:
            me = read_user()
            return resolve_region(api, provider, (me and me.account.region) or stored)

        return CaseReader(
            api,
            api_region(named or stored or "", provider) if named or stored else resolve(),
            lab_emails=lab_emails,
            find_lab_ids=lambda: _ids_at(lab_emails, read_user()),
            resolve=resolve if named is None else None,
        )


def _ids_at(emails: Collection[str], me: User | None) -> frozenset[str]:
    """Return the Communicate ids that an account knows for some addresses, case folded."""
    if me is None:
        return frozenset()
    known = [(me.account.id, me.account.email or ""), *((each.id, each.email) for each in me.connections)]
    return frozenset(id_.casefold() for id_, email in known if id_ and email.casefold() in emails)
