"""The people who use the example: made up, each of a practice of their own."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

__all__ = ["PEOPLE", "Person", "sign_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody at a practice's front desk."""

    name: str
    practice_id: str
    practice: str
    password: str = field(repr=False)


PEOPLE = {
    "alex": Person(
        name="Alex Maple",
        practice_id="practice-42",
        practice="Maple Street Orthodontics",
        password="example-alex",
    ),
    "robin": Person(
        name="Robin Linden",
        practice_id="practice-77",
        practice="Linden Kieferorthopädie",
        password="example-robin",
    ),
}


def sign_in(user: str, password: str) -> Person | None:
    """Return who has this name and password."""
    person = PEOPLE.get(user)
    known = person.password if person else ""
    return person if hmac.compare_digest(known.encode(), password.encode()) and known else None
