"""The state of one sandbox: in memory, protected by one lock, and discarded when it stops."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from connector.sandbox.accounts import ACCOUNTS, OTHER_PRACTICE, Account, LabConnections
from connector.sandbox.case_store import CaseStore
from connector.sandbox.clients import CLIENT_ID, Client, registered_clients
from connector.sandbox.scenarios import check_scenarios

__all__ = ["Code", "Grant", "IssuedToken", "Profile", "State"]

CODE_LIFETIME = 180  # seconds; DotNetOpenAuth's default. IdentityServer's is five minutes.
_GRANT_TYPES = frozenset({"authorization_code", "refresh_token"})
_MOST_SESSIONS = 10_000


@dataclass(slots=True, kw_only=True)
class Grant:
    """One practice's permission for one application."""

    client: Client
    account: Account
    scope: str
    revoked: bool = False


@dataclass(slots=True, kw_only=True)
class Code:
    """An authorization code that has not been spent. Authlib reads it through these names."""

    value: str = field(repr=False)
    grant: Grant
    redirect_uri: str
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    nonce: str | None = None
    created: float = field(default_factory=time.time)

    @property
    def expired(self) -> bool:
        """Whether it is older than the server allows."""
        return time.time() - self.created > CODE_LIFETIME

    def get_redirect_uri(self) -> str:
        """Return the redirect URI of the authorization request."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the scope that was granted."""
        return self.grant.scope

    def get_nonce(self) -> str | None:
        """Return the nonce that belongs in the id_token."""
        return self.nonce

    def get_auth_time(self) -> int:
        """Return the time of the consent, in seconds since 1970."""
        return int(self.created)

    def get_acr(self) -> None:
        """Return no authentication class: the real server's is not known."""

    def get_amr(self) -> list[str]:
        """Return the method of the sign-in."""
        return ["pwd"]


@dataclass(slots=True, kw_only=True)
class IssuedToken:
    """One token response. Authlib reads it through these names."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    grant: Grant
    scope: str
    lifetime: int
    issued: float = field(default_factory=time.time)
    spent: bool = False

    @property
    def is_valid(self) -> bool:
        """Whether an API accepts the access token."""
        return time.time() < self.issued + self.lifetime and not self.grant.revoked

    def check_client(self, client: Client) -> bool:
        """Return whether the token was issued to this client."""
        return self.grant.client is client

    def get_scope(self) -> str:
        """Return the scope of the token."""
        return self.scope


@dataclass(slots=True, kw_only=True)
class Profile:
    """OrmcoDigital's settings of a practice."""

    source: str = "scanner"
    scanner: str = ""
    connected: bool = False


class State:
    """The whole state of one sandbox."""

    def __init__(
        self,
        generation: str,
        *,
        base_url: str,
        client_id: str = CLIENT_ID,
        redirect_uris: Iterable[str],
        scenarios: Iterable[str] = (),
        approval_seconds: float | None = 5,
    ) -> None:
        self.lock: threading.RLock = threading.RLock()
        self.stopping: threading.Event = threading.Event()
        self.generation = generation
        self.base_url = base_url
        self.clients: dict[str, Client] = registered_clients(generation, client_id, tuple(redirect_uris))
        self.ormco: Client = self.clients[client_id]
        self._first_scenarios = check_scenarios(scenarios)
        self._first_seconds = {
            "approval_seconds": approval_seconds,
            "slow_seconds": 3.0,
            "late_seconds": 4500.0,
        }
        self.reset()

    @property
    def slow_seconds(self) -> float:
        """Seconds that a slow response takes, or each byte of a slow download."""
        return self.seconds["slow_seconds"] or 0.0

    def reset(self) -> None:
        """Forget everything that happened, and return to the settings of the start."""
        self.accounts = ACCOUNTS
        self.seconds: dict[str, float | None] = dict(self._first_seconds)
        self.codes: dict[str, Code] = {}
        self.access_tokens: dict[str, IssuedToken] = {}
        self.refresh_tokens: dict[str, IssuedToken] = {}
        self.grants: list[Grant] = []
        self.sessions: dict[str, dict[str, str]] = {}
        self.pending_redirects: dict[str, str] = {}
        self.downloaded: set[tuple[str, str]] = set()
        self.lab_connections: LabConnections = LabConnections(
            lambda: None if self.on("pending-lab") else self.seconds["approval_seconds"]
        )
        self.cases: CaseStore = CaseStore(
            lambda: (self.seconds["late_seconds"] or 0.0) if self.on("late-updates") else 0.0
        )
        self.profiles: dict[str, Profile] = {}
        self.counters: Counter[str] = Counter()
        self.scenarios: frozenset[str] = frozenset()
        self.set_scenarios(self._first_scenarios)

    def on(self, scenario: str) -> bool:
        """Return whether a scenario is set."""
        return scenario in self.scenarios

    def set_scenarios(self, names: Iterable[str]) -> None:
        """Replace the scenarios.

        Raises:
            ValueError: a name is unknown.
        """
        self.scenarios = check_scenarios(names)
        if self.on("revoked"):
            for grant in self.grants:
                grant.revoked = True

    def count_token_call(self, grant_type: str) -> None:
        """Count a call of the token endpoint by its grant type."""
        self.counters[f"token:{grant_type if grant_type in _GRANT_TYPES else 'other'}"] += 1

    def account_by_email(self, email: str) -> Account | None:
        """Return the account with this e-mail address, in any case."""
        wanted = email.strip().lower()
        return next((each for each in self.accounts.values() if each.email.lower() == wanted), None)

    def sign_in(self, email: str, password: str) -> Account | None:
        """Return the account with this e-mail address and password, or None."""
        account = self.account_by_email(email)
        return account if account and account.password == password else None

    def seen_as(self, account: Account) -> Account:
        """Return the account that the provider uses for a signed-in account."""
        return OTHER_PRACTICE if self.on("other-account") else account

    def add_session(self, key: str, values: dict[str, str]) -> None:
        """Store a browser's session; delete the oldest ones if there are too many."""
        while len(self.sessions) >= _MOST_SESSIONS:
            del self.sessions[next(iter(self.sessions))]
        self.sessions[key] = values

    def add_grant(self, client: Client, account: Account, scope: str) -> Grant:
        """Record that a practice allowed access."""
        grant = Grant(client=client, account=account, scope=scope)
        self.grants.append(grant)
        return grant

    def take_code(self, value: str) -> Code | None:
        """Return a code and spend it, even if the exchange then fails."""
        code = self.codes.pop(value, None)
        removed = self.counters["applications_removed"] > 0
        refused = self.on("refused-codes") or (self.on("stale-grant") and not removed)
        return None if refused else code

    def add_token(self, token: IssuedToken) -> None:
        """Make a token known to the APIs and to the token endpoint."""
        self.access_tokens[token.access_token] = token
        if token.refresh_token:
            self.refresh_tokens[token.refresh_token] = token

    def live_grants(self, account: Account) -> list[Grant]:
        """Return the grants that an account has given and not removed."""
        return [grant for grant in self.grants if grant.account is account and not grant.revoked]
