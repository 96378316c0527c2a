"""Check this machine: the settings, the store, the browser."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from connector.clock import Clock
from connector.doctor.check import Check, clock_check, failed, fine, warning
from connector.errors import (
    BrowserUnavailableError,
    ConnectorError,
    ExtraMissingError,
    SealingKeyError,
    SettingError,
    StoreError,
    StoreUnavailableError,
)
from connector.resources import Resources

__all__ = ["browser", "browser_start", "display", "settings", "store"]

_LITTLE_ROOM = 100 << 20  # bytes
_NO_ROOM = 5 << 20


def settings(resources: Resources) -> list[Check]:
    """Check that the settings are complete, well-formed and consistent."""
    config = resources.config
    provider = config.load_provider()
    try:
        client = config.registration(provider)
    except SettingError as exc:
        nothing_set = not config.client_id and not config.client_secret
        if nothing_set and exc.message.startswith("not set:") and not _has_connections(resources):
            cure = f"Only `ormco code` and `ormco profile connect` work without them. {exc.hint}"
            return [warning("settings", exc.message, cure)]
        return [failed("settings", exc)]
    for secret_setting in (config.store_keys, config.password, config.digital_password):
        secret_setting.reveal()  # raises if its file does not exist
    secret = "with a secret" if client.client_secret else "without a secret"
    detail = (
        f"provider {provider.name}; client {client.client_id} {secret}; redirect to {client.redirect_uri}"
    )
    checks = [fine("settings", detail)]
    if provider.code_format == "identityserver" and "offline_access" not in (client.scope or "").split():
        cure = "Add it to ORMCO_SCOPE: without it, consent is needed again whenever an access token expires."
        checks.append(warning("scope", "offline_access is not among the requested scopes", cure))
    return checks


def store(resources: Resources) -> list[Check]:
    """Check the store without creating one: that it is writable, its permissions, and its key."""
    facts = resources.store.facts()
    if facts.get("exists") != "yes":
        return [_place_for_a_store(facts), *_room(facts)]
    try:
        if facts.get("key_id"):
            resources.store.check()
    except SealingKeyError as exc:
        return [fine("store", _described(facts)), failed("store_key", exc)]
    except StoreError as exc:
        return [failed("store", exc)]
    checks = [*_key(facts), *_readers(facts), *_room(facts), *_database_clock(resources, facts)]
    return [fine("store", _described(facts)), *checks]


def browser(resources: Resources) -> list[Check]:
    """Find the browser for consent, and ask only for its version."""
    from connector.browser import check_browser

    setting = resources.config.browser
    try:
        chosen = check_browser(setting, headless=True)
    except (BrowserUnavailableError, ExtraMissingError) as exc:
        return [_no_browser("browser", exc, setting)]
    return [fine("browser", f"{chosen.name} ({chosen.path})")]


def browser_start(resources: Resources) -> list[Check]:
    """Start the browser without a window, and close it."""
    from connector.browser import find_browser
    from connector.browser.launch import open_browser

    setting, started = resources.config.browser, Clock().monotonic()
    try:
        with open_browser(find_browser(setting, headless=True), headless=True):
            seconds = Clock().monotonic() - started
    except (BrowserUnavailableError, ExtraMissingError) as exc:
        return [_no_browser("browser_start", exc, setting)]
    return [fine("browser_start", f"it starts, in {seconds:.1f} s")]


def display() -> list[Check]:
    """Check that there is a display for a browser window, and that it accepts connections."""
    from connector.browser.readiness import require_display

    try:
        name = require_display()
    except BrowserUnavailableError as exc:
        return [warning("display", exc.message, exc.hint, error=exc)]
    return [fine("display", f"{name} responds" if name else "this system always has one")]


def _no_browser(name: str, error: ConnectorError, setting: str | None) -> Check:
    # A browser is required only if one is set: a link can be sent, and the redirect URL pasted.
    return failed(name, error) if setting else warning(name, error.message, error.hint, error=error)


def _has_connections(resources: Resources) -> bool:
    try:
        return next(resources.store.overview.connections(), None) is not None
    except StoreError:
        return False


def _described(facts: Mapping[str, str]) -> str:
    pooler = ", through a pooler such as PgBouncer" if facts.get("pooler") else ""
    return f"{facts['database']}, {facts['path']}{pooler}, writable, schema {facts['schema_version']}"


def _database_clock(resources: Resources, facts: Mapping[str, str]) -> Iterator[Check]:
    """Compare the database's clock with this machine's: leases and expiry times use the former."""
    if facts["database"] == "SQLite":
        return  # SQLite uses this machine's clock
    database, before = resources.store.database, resources.clock.time()
    there = database.one(f"SELECT {database.dialect.now}", ())[0]
    yield clock_check("store_clock", (before + resources.clock.time()) / 2 - there, "the database's")


def _place_for_a_store(facts: Mapping[str, str]) -> Check:
    if facts["database"] != "SQLite":
        return fine("store", f"{facts['path']} answers; the first connection creates its tables")
    path = Path(facts["path"])
    folder = next(parent for parent in path.parents if parent.exists())
    if not os.access(folder, os.W_OK):
        hint = "Set ORMCO_STORE to a file in a folder that this user can write to."
        return failed(
            "store", StoreUnavailableError(f"{path} cannot be created: {folder} is read-only", hint=hint)
        )
    return fine("store", f"there is none yet; the first connection creates {path}")


def _key(facts: Mapping[str, str]) -> Iterator[Check]:
    source, place = facts.get("key_source", ""), facts.get("key_place", "")
    if source != "file":
        yield fine("store_key", f"from the {source}" if facts.get("key_id") else "not chosen yet")
        return
    yield warning(
        "store_key",
        f"the sealing key is in the file {place}: a person who can read it and the store has every token",
        "Keep it in a secret store instead (`ormco keys new` prints a key for ORMCO_STORE_KEYS, `ormco keys "
        "rotate` moves the store to it), and back this file up apart from the store until then.",
    )
    if os.name == "posix" and place and Path(place).exists() and Path(place).stat().st_mode & 0o077:
        yield warning("store_key_file", f"others can read {place}", f"chmod 600 {place}")


def _readers(facts: Mapping[str, str]) -> Iterator[Check]:
    path = facts.get("path", "")
    if facts.get("readable_by_others"):
        yield warning(
            "store_permissions", f"others can open {path} ({facts['permissions']})", f"chmod 600 {path}"
        )
    elif "permissions" in facts:
        yield fine("store_permissions", f"only its owner can open {path}")
    folder = int(facts.get("folder_permissions", "0"), 8)
    if folder & 0o022 and not folder & stat.S_ISVTX:
        yield warning(
            "store_folder",
            f"others can replace files in {Path(path).parent}",
            f"chmod go-w {Path(path).parent}",
        )
    if facts.get("owned_by"):
        cure = "Run ormco as the user who owns the store."
        yield warning("store_owner", f"{path} belongs to the user number {facts['owned_by']}", cure)
    if facts.get("network_share"):
        cure = "Put it on a local disk, or use PostgreSQL: locks do not work between machines there."
        yield warning("store_place", f"{path} is on a network share ({facts['network_share']})", cure)


def _room(facts: Mapping[str, str]) -> Iterator[Check]:
    if "free_bytes" not in facts:
        return
    free, path = int(facts["free_bytes"]), facts.get("path", "")
    text = f"{free / (1 << 30):.1f} GiB are free" if free >= 1 << 30 else f"{free >> 20} MiB are free"
    if free < _NO_ROOM:
        error = StoreUnavailableError(
            f"{text} on the disk of {path}", hint="Free some space: a full disk loses tokens."
        )
        yield failed("disk", error)
    elif free < _LITTLE_ROOM:
        yield warning("disk", f"{text} on the disk of {path}", "Free some space before it is full.")
    else:
        yield fine("disk", text)
