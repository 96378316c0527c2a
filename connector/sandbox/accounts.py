"""The sandbox's accounts: made-up practices and labs, the same at every start, and their passwords."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

__all__ = [
    "ACCOUNTS",
    "LABS_OF_ORMCO",
    "OTHER_PRACTICE",
    "PRACTICE",
    "REGIONS",
    "Account",
    "Passwords",
    "Region",
    "TooManyAttemptsError",
]

_LAB_PASSWORD = "sandbox-lab-3"  # noqa: S105
_FREE_ATTEMPTS = 5
_LONGEST_PAUSE = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the world with servers of its own.

    Attributes:
        key: the region's name in a provider file.
        uri: the `RegionUri` of user objects: a name of the region, without a scheme.
    """

    id: str
    key: str
    name: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A Communicate account. Practices sign in to OrmcoDigital with the same name and password."""

    id: str
    email: str
    password: str = field(repr=False)
    name: str
    first_name: str
    last_name: str
    role: str
    address: str
    city: str
    postal_code: str
    country: str
    country_name: str
    phone: str
    region: Region

    @property
    def is_lab(self) -> bool:
        """Whether this is a lab, not a clinic."""
        return self.role == "Lab"


def _region(number: int, key: str, name: str, uri: str) -> Region:
    return Region(id=f"6e0a4c52-0000-4000-8000-00000000e00{number}", key=key, name=name, uri=uri)


REGIONS = {
    "europe": _region(1, "europe", "Europe", "www.3shapecommunicate.com"),
    "americas": _region(2, "americas", "America", "us.3shapecommunicate.com"),
    "asia-pacific": _region(3, "asia-pacific", "Asia", "as1.3shapecommunicate.com"),
}

PRACTICE = Account(
    id="5a0d0b0c-0001-4000-8000-000000000001",
    email="front.desk@maple-ortho.test",
    password="sandbox-practice-1",  # noqa: S106
    name="Maple Street Orthodontics",
    first_name="Alex",
    last_name="Maple",
    role="Clinic",
    address="12 Maple Street",
    city="Springfield",
    postal_code="99901",
    country="us",
    country_name="United States",
    phone="5550100",
    region=REGIONS["americas"],
)
OTHER_PRACTICE = Account(
    id="5a0d0b0c-0002-4000-8000-000000000002",
    email="praxis@linden-kfo.test",
    password="sandbox-practice-2",  # noqa: S106
    name="Linden Kieferorthopädie",
    first_name="Robin",
    last_name="Linden",
    role="Clinic",
    address="Lindenallee 3",
    city="Musterstadt",
    postal_code="00001",
    country="de",
    country_name="Germany",
    phone="5550200",
    region=REGIONS["europe"],
)


def _lab(number: int, region: str, email: str, name: str, person: str, place: tuple[str, ...]) -> Account:
    """Return a lab; `place` is its street, city, postal code, country code and country."""
    first_name, _, last_name = person.partition(" ")
    return Account(
        id=f"0a3c0000-000{number}-4000-8000-00000000001{number}",
        email=email,
        password=_LAB_PASSWORD,
        name=name,
        first_name=first_name,
        last_name=last_name,
        role="Lab",
        address=place[0],
        city=place[1],
        postal_code=place[2],
        country=place[3],
        country_name=place[4],
        phone=f"555030{number}",
        region=REGIONS[region],
    )


LABS_OF_ORMCO = {
    "americas": _lab(
        1,
        "americas",
        "Insignia.Support@ormco.com",
        "Ormco Corporation",
        "Insignia Support",
        ("1332 S Lone Hill Ave", "Glendora", "91740", "us", "United States"),
    ),
    "asia-pacific": _lab(
        2,
        "asia-pacific",
        "Insignia.SupportAsia@ormco.com",
        "Ormco Corporation",
        "Insignia Support Asia",
        ("10/112-118 Talavera Rd", "Macquarie Park", "2113", "in", "India"),
    ),
    "europe": _lab(
        3,
        "europe",
        "Insignia.SupportEurope@ormco.com",
        "Ormco",
        "Insignia Support Europe",
        ("Basicweg 20", "Amersfoort", "3821 BR", "nl", "Netherlands"),
    ),
}

_OTHER_LAB = _lab(
    4,
    "americas",
    "hello@harbour-lab.test",
    "Harbour Dental Lab",
    "Sam Harbour",
    ("1 Quay Road", "Portville", "99902", "us", "United States"),
)

ACCOUNTS = {
    account.id: account for account in (PRACTICE, OTHER_PRACTICE, *LABS_OF_ORMCO.values(), _OTHER_LAB)
}


class TooManyAttemptsError(Exception):
    """Too many wrong passwords were tried for one account.

    Attributes:
        seconds: until the next attempt is accepted.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many attempts; the next one is possible in {seconds:.0f} s")
        self.seconds = seconds


class Passwords:
    """Checks passwords. After five wrong ones in a row, each further attempt has to wait twice as long."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, float]] = {}

    def check(self, account: Account, password: str) -> bool:
        """Return whether this is the account's password.

        Raises:
            TooManyAttemptsError: the pause after the last wrong password is not over.
        """
        failures, blocked_until = self._failures.get(account.id, (0, 0.0))
        now = time.time()
        if now < blocked_until:
            # The right password is refused too: otherwise the pause would not slow down guessing.
            raise TooManyAttemptsError(blocked_until - now)
        if secrets.compare_digest(account.password.encode(), password.encode("utf-8", "surrogateescape")):
            self._failures.pop(account.id, None)
            return True
        failures += 1
        pause = min(2.0 ** (failures - _FREE_ATTEMPTS), _LONGEST_PAUSE) if failures >= _FREE_ATTEMPTS else 0.0
        self._failures[account.id] = (failures, now + pause)
        return False
