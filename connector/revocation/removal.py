"""The removal of Ormco from an account without a revocation endpoint, and its consequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from connector.connection import Account, Connection, ConnectionState
from connector.consent import Progress
from connector.errors import (
    BrowserUnavailableError,
    ConsentRequiredError,
    ExtraMissingError,
    GrantStillHonouredError,
    ProviderUnavailableError,
)
from connector.oauth.provider import Provider
from connector.resources import Resources
from connector.store.row import Rows

__all__ = [
    "Removal",
    "Remove",
    "RevocationSteps",
    "ask_nobody",
    "by_hand",
    "is_over",
    "remove_from_page",
    "revocation_steps",
    "steps_by_hand",
]

# Called as remove(url, account=…) with the address of the Applications page and the e-mail address to sign in
# with, or None; returns whether Ormco was listed there.
Remove = Callable[..., bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """How to remove Ormco on the Applications page, if the provider has no revocation endpoint.

    Attributes:
        remove: removes it, or asks a person to; None: the hint of the error has the steps.
        method: the method to report: "applications_page" or "by_hand".
        done: whether it was removed already, so that only the proof is left.
        thorough: whether to check the page even if the grant is proved dead already.
        progress: called with the name of each step as it is done: "recorded", "endpoint", "endpoint_refused",
            "removed", "unlisted", "proved", "wiped".
    """

    remove: Remove | None = None
    method: str = "applications_page"
    done: bool = False
    thorough: bool = False
    progress: Progress = lambda step: None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationSteps:
    """The consequences of a revocation, and a person's steps if the provider has no revocation endpoint.

    Attributes:
        practice_id: the practice.
        account: its Communicate account, or None if it is not known.
        others: practices in this store that are connected to the same account.
        whole_application: whether the application "Ormco" is removed from the account, and with it the access
            of everyone who uses it, such as OrmcoDigital.
        page_url: address of the Applications page, or None if it is not known.
        steps: a person's steps on that page, in words; empty if the provider has a revocation endpoint.
    """

    practice_id: str
    account: Account | None
    others: tuple[str, ...] = ()
    whole_application: bool = True
    page_url: str | None = None
    steps: tuple[str, ...] = ()


def revocation_steps(resources: Resources, practice_id: str) -> RevocationSteps | None:
    """Return the consequences of revoking a connection; None if nothing is left to revoke."""
    rows = resources.store.grants.rows(practice_id)
    connection = resources.store.existing(practice_id)
    if is_over(rows):
        return None
    resources.check_provider(connection)
    account = connection.account
    others = resources.store.practices_of_account(connection.provider, account.id) if account else []
    page, whole = resources.configured.applications_page, _is_whole_application(resources)
    return RevocationSteps(
        practice_id=practice_id,
        account=account,
        others=tuple(other for other in others if other != practice_id),
        whole_application=whole,
        page_url=page if whole else None,
        steps=tuple(steps_by_hand(page, None if account is None else account.email)) if whole else (),
    )


def _is_whole_application(resources: Resources) -> bool:
    """Return whether the application "Ormco" has to be removed; True if the provider cannot be reached."""
    try:
        return resources.provider.revocation_endpoint is None
    except ProviderUnavailableError:
        return True


def is_over(rows: Rows) -> bool:
    """Return whether nothing is left that could be revoked."""
    held = any(row.access_sealed is not None or row.refresh_sealed is not None for row in rows.all)
    return rows.main is not None and rows.main.state == ConnectionState.REVOKED and not held


def steps_by_hand(page: str | None, account: str | None) -> list[str]:
    """Return the guide's steps for removing Ormco, for a person in their own browser."""
    who = f" as {account}" if account else ""
    return [
        f"Go to {page} and log in{who}, with the 3Shape Communicate credentials."
        if page is not None
        else f"Sign in to the account{who} and open its list of applications.",
        "Click the square icon next to Ormco.",
        "Confirm to delete.",
    ]


def by_hand(provider: Provider, connection: Connection) -> str:
    """Return the guide's steps for removing Ormco as a hint."""
    account = connection.account.email if connection.account else None
    steps = enumerate(steps_by_hand(provider.applications_page, account), 1)
    words = " ".join(f"{number}. {step}" for number, step in steps)
    return f"Remove it by hand: {words} Then confirm that it is done."


def ask_nobody(page_url: str, *, account: str | None) -> bool:
    """Refuse to open a browser: a server leaves the removal to the practice.

    Raises:
        connector.errors.ConsentRequiredError: always.
    """
    whose = f" of {account}" if account else ""
    raise ConsentRequiredError(
        f"only a person can remove Ormco from the Applications page{whose}",
        hint="Show the result of `revocation_steps`; once the person has removed it, call `confirm_revoked`.",
    )


def remove_from_page(provider: Provider, connection: Connection, removal: Removal) -> None:
    """Remove Ormco on the Applications page.

    Raises:
        connector.errors.GrantStillHonouredError: there is no page or no browser, so a person has to do it.
        connector.errors.ConnectorError: as `removal.remove` does.
    """
    page, account = provider.applications_page, connection.account
    why = "no browser may be used" if page else "the address of the Applications page is not set"
    if page is not None and removal.remove is not None:
        try:
            listed = removal.remove(page, account=account.email if account else None)
        except (BrowserUnavailableError, ExtraMissingError) as exc:
            why = exc.message
        else:
            removal.progress("removed" if listed else "unlisted")
            return
    raise GrantStillHonouredError(
        f"Ormco still has access to {connection.practice_id}, and a person has to remove it by hand: {why}",
        hint=by_hand(provider, connection),
    )
