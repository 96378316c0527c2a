"""Check one connection by using it, or all connections briefly."""

from __future__ import annotations

from collections.abc import Callable

from connector.clock import isoformat
from connector.communicate.users import TokenVerdict, probe_token, read_account
from connector.connection import Account, Connection, ConnectionState, require_alive
from connector.doctor.check import Check, failed, fine, warning
from connector.errors import AccountMismatchError, NeedsRepairError
from connector.hints import ormco_command
from connector.refresh import AccessTokens
from connector.resources import Resources
from connector.words import counted

__all__ = ["all_connections", "state", "use"]


def all_connections(resources: Resources) -> list[Check]:
    """Count the connections by state; name no practice."""
    summary = resources.store.overview.summary()
    if not summary.states:
        return [fine("connections", "none yet")]
    states = sorted(summary.states.items())
    detail = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in states)
    if not summary.needs_attention:
        return [fine("connections", detail)]
    detail += f"; {counted(summary.needs_attention, '', 'need attention')}"
    return [warning("connections", detail, "To see their next commands: ormco status --needs-attention")]


def state(resources: Resources, practice_id: str) -> list[Check]:
    """Check the stored state of a connection."""
    connection = resources.store.existing(practice_id)
    resources.check_provider(connection)
    require_alive(practice_id, connection.state, connection.reason)
    since = isoformat(connection.since)
    if connection.state is ConnectionState.DEGRADED:
        why = connection.last_error or connection.reason or "the last refresh failed"
        return [warning("connection", f"degraded since {since}: {why}", ormco_command("repair", practice_id))]
    return [fine("connection", f"connected since {since}")]


def use(resources: Resources, tokens: Callable[[], AccessTokens], practice_id: str) -> list[Check]:
    """Get an access token as its users do, and try it at the provider."""
    access_token = tokens().access_token(practice_id)
    connection = resources.store.existing(practice_id)
    verdict = probe_token(resources.provider, access_token, clock=resources.clock)
    if verdict is TokenVerdict.REFUSED:
        error = NeedsRepairError("the access token is refused", hint=ormco_command("repair", practice_id))
        return [failed("grant", error)]
    checks = [_grant(connection, verdict)]
    if resources.provider.tells_account:
        account = read_account(resources.provider, access_token, clock=resources.clock)
        checks += [_account(connection, account), _region(resources, account, connection)]
    return checks + _lab(connection)


def _grant(connection: Connection, verdict: TokenVerdict) -> Check:
    ends = isoformat(connection.expires_at) or "an hour after it was given"
    if not connection.renewable:
        cure = f"Then consent is needed again: {ormco_command('repair', connection.practice_id)}"
        return warning("grant", f"access ends at {ends}: the provider gave no refresh token", cure)
    asked = "" if verdict is TokenVerdict.ACCEPTED else " (the provider could not confirm that it is valid)"
    return fine("grant", f"an access token until {ends}, refreshed automatically{asked}")


def _account(connection: Connection, account: Account) -> Check:
    before = connection.account
    if before is not None and before.id != account.id:
        return failed(
            "account",
            AccountMismatchError(
                f"the tokens belong to {account}, but the connection is to {before}",
                hint="Connect it again, with the right account: "
                f"{ormco_command('reconnect', connection.practice_id)}",
            ),
        )
    return fine("account", str(account))


def _region(resources: Resources, account: Account, connection: Connection) -> Check:
    known, region = resources.provider.metadata_urls, account.region
    if region is None:
        cure = "Cases and the lab connection need it: check the account's country in 3Shape Communicate."
        return warning("region", "the provider does not state the account's region", cure)
    if known and region not in known:
        cure = "Set its address in the provider file, under [provider.metadata_urls]."
        return warning("region", f"no address is known for cases in {region}", cure)
    before = connection.account.region if connection.account else None
    if before not in (None, region):
        cure = f"Store it again: {ormco_command('reconnect', connection.practice_id)}"
        return warning("region", f"{region}, but {before} when it was connected", cure)
    return fine("region", region)


def _lab(connection: Connection) -> list[Check]:
    lab, practice_id = connection.lab, connection.practice_id
    if lab is None:
        return []
    if lab.state == "active":
        return [fine("lab", f"active, with {lab.email}")]
    if lab.state == "requested":
        cure = f"It can take up to 24 hours: {ormco_command('lab status', practice_id, '--wait 86400')}"
        return [warning("lab", f"{lab.email} has not accepted the request yet", cure)]
    return [warning("lab", "Ormco is not a lab of this account", ormco_command("lab request", practice_id))]
