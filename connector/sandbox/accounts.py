"""The people of the sandbox: made-up practices and labs, the same at every start."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ACCOUNTS", "LABS_OF_ORMCO", "OTHER_PRACTICE", "PRACTICE", "REGIONS", "Account", "Region"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the world with servers of its own.

    Attributes:
        key: the region's name in a provider file.
        uri: what user objects carry as `RegionUri`: a name of the region, without a scheme.
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


REGIONS = {
    region.key: region
    for region in (
        Region(
            id="6e0a4c52-0000-4000-8000-00000000e001",
            key="europe",
            name="Europe",
            uri="www.3shapecommunicate.com",
        ),
        Region(
            id="6e0a4c52-0000-4000-8000-00000000e002",
            key="americas",
            name="America",
            uri="us.3shapecommunicate.com",
        ),
        Region(
            id="6e0a4c52-0000-4000-8000-00000000e003",
            key="asia-pacific",
            name="Asia",
            uri="as1.3shapecommunicate.com",
        ),
    )
}

_LAB_PASSWORD = "sandbox-lab-3"  # noqa: S105

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

LABS_OF_ORMCO = {
    "americas": Account(
        id="0a3c0000-0001-4000-8000-000000000011",
        email="Insignia.Support@ormco.com",
        password=_LAB_PASSWORD,
        name="Ormco Corporation",
        first_name="Insignia",
        last_name="Support",
        role="Lab",
        address="1332 S Lone Hill Ave",
        city="Glendora",
        postal_code="91740",
        country="us",
        country_name="United States",
        phone="5550301",
        region=REGIONS["americas"],
    ),
    "asia-pacific": Account(
        id="0a3c0000-0002-4000-8000-000000000012",
        email="Insignia.SupportAsia@ormco.com",
        password=_LAB_PASSWORD,
        name="Ormco Corporation",
        first_name="Insignia",
        last_name="Support Asia",
        role="Lab",
        address="10/112-118 Talavera Rd",
        city="Macquarie Park",
        postal_code="2113",
        country="in",
        country_name="India",
        phone="5550302",
        region=REGIONS["asia-pacific"],
    ),
    "europe": Account(
        id="0a3c0000-0003-4000-8000-000000000013",
        email="Insignia.SupportEurope@ormco.com",
        password=_LAB_PASSWORD,
        name="Ormco",
        first_name="Insignia",
        last_name="Support Europe",
        role="Lab",
        address="Basicweg 20",
        city="Amersfoort",
        postal_code="3821 BR",
        country="nl",
        country_name="Netherlands",
        phone="5550303",
        region=REGIONS["europe"],
    ),
}

_OTHER_LAB = Account(
    id="0a3c0000-0004-4000-8000-000000000014",
    email="hello@harbour-lab.test",
    password=_LAB_PASSWORD,
    name="Harbour Dental Lab",
    first_name="Sam",
    last_name="Harbour",
    role="Lab",
    address="1 Quay Road",
    city="Portville",
    postal_code="99902",
    country="us",
    country_name="United States",
    phone="5550400",
    region=REGIONS["americas"],
)

ACCOUNTS = {
    account.id: account for account in (PRACTICE, OTHER_PRACTICE, *LABS_OF_ORMCO.values(), _OTHER_LAB)
}
