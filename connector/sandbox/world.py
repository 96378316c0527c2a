"""Everything the sandbox knows: in memory, behind one lock, gone when it stops."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from connector.sandbox.accounts import ACCOUNTS, OTHER_PRACTICE, Account
from connector.sandbox.case_book import CaseBook
from connector.sandbox.clients import Client, registered_clients
from connector.sandbox.databag import new_handle
from connector.sandbox.lab_connections import LabConnections
from connector.sandbox.scenarios import check_scenarios

__all__ = ["Code", "Grant", "IssuedToken", "Profile", "World"]

CODE_LIFETIME = 180  # DotNetOpenAuth's default of three minutes; IdentityServer's is five
_GRANT_TYPES = frozenset({"authorization_code", "refresh_token", "password"})


@dataclass(slots=True, kw_only=True)
class Grant:
    """What one practice allowed one application, once."""

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
        """Return the nonce that belongs into the id_token."""
        return self.nonce

    def get_auth_time(self) -> int:
        """Return when the practice acted, in seconds since 1970."""
        return int(self.created)

    def get_acr(self) -> None:
        """Return no authentication class: the real server's is not known."""

    def get_amr(self) -> list[str]:
        """Return how the practice signed in."""
        return ["pwd"]


@dataclass(slots=True, kw_only=True)
class IssuedToken:
    """One answer of the token endpoint. Authlib reads it through these names."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    grant: Grant
    scope: str
    lifetime: int
    issued: float = field(default_factory=time.time)
    spent: bool = False

    def check_client(self, client: Client) -> bool:
        """Return whether the token was issued to this client."""
        return self.grant.client is client

    def get_scope(self) -> str:
        """Return the scope of the token."""
        return self.scope

    def is_expired(self) -> bool:
        """Return whether the access token is past its end."""
        return time.time() >= self.issued + self.lifetime

    def is_revoked(self) -> bool:
        """Return whether the practice removed the grant."""
        return self.grant.revoked


@dataclass(slots=True, kw_only=True)
class Profile:
    """What OrmcoDigital stores of a practice."""

    source: str = "scanner"
    scanner: str = ""
    connected: bool = False


class World:
    """The state of one sandbox.

    Args:
        generation: "classic" or "identity".
        base_url: the sandbox's own origin.
        redirect_uris: what the clients may redirect to, the default first.
        scenarios: the scenarios to begin with.
        approval_seconds: how long the lab takes to approve a request; None: until somebody does.
    """

    def __init__(
        self,
        generation: str,
        *,
        base_url: str,
        redirect_uris: Iterable[str],
        scenarios: Iterable[str] = (),
        approval_seconds: float | None = 5,
    ) -> None:
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self.generation = generation
        self.base_url = base_url
        self.clients = registered_clients(generation, tuple(redirect_uris))
        self.accounts = ACCOUNTS
        self.slow_seconds = 3.0
        self.code_handle = new_handle()
        self.refresh_handle = new_handle()
        self.codes: dict[str, Code] = {}
        self.access_tokens: dict[str, IssuedToken] = {}
        self.refresh_tokens: dict[str, IssuedToken] = {}
        self.grants: list[Grant] = []
        self.pending_redirects: dict[str, str] = {}
        self.lab_connections = LabConnections(approval_seconds=approval_seconds)
        self.cases = CaseBook()
        self.profiles: dict[str, Profile] = {}
        self.counters: Counter[str] = Counter()
        self.scenarios: frozenset[str] = frozenset()
        self.set_scenarios(scenarios)

    def on(self, scenario: str) -> bool:
        """Return whether a scenario is set."""
        return scenario in self.scenarios

    def set_scenarios(self, names: Iterable[str]) -> None:
        """Replace the scenarios.

        Raises:
            ValueError: if there is no scenario of such a name.
        """
        self.scenarios = check_scenarios(names)
        self.lab_connections.held = self.on("pending-lab")
        if self.on("revoked"):
            for grant in self.grants:
                grant.revoked = True

    def count_token_call(self, grant_type: str) -> None:
        """Count a call of the token endpoint by its grant type."""
        self.counters[f"token:{grant_type if grant_type in _GRANT_TYPES else 'other'}"] += 1

    def sign_in(self, email: str, password: str) -> Account | None:
        """Return the account of this e-mail address and password, or None."""
        for account in self.accounts.values():
            if account.email.lower() == email.strip().lower():
                right = secrets.compare_digest(account.password.encode(), password.encode())
                return account if right else None
        return None

    def sign_in_to_communicate(self, email: str, password: str) -> Account | None:
        """Return who is signed in at the provider after this."""
        account = self.sign_in(email, password)
        return OTHER_PRACTICE if account and self.on("other-account") else account

    def add_grant(self, client: Client, account: Account, scope: str) -> Grant:
        """Record that a practice allowed access."""
        grant = Grant(client=client, account=account, scope=scope)
        self.grants.append(grant)
        return grant

    def take_code(self, value: str) -> Code | None:
        """Return a code and spend it, whatever comes of the exchange."""
        return self.codes.pop(value, None)

    def add_token(self, token: IssuedToken) -> None:
        """Make a token known to the APIs and to the token endpoint."""
        self.access_tokens[token.access_token] = token
        if token.refresh_token:
            self.refresh_tokens[token.refresh_token] = token

    def live_grants(self, account: Account) -> list[Grant]:
        """Return what an account has allowed and not removed."""
        return [grant for grant in self.grants if grant.account is account and not grant.revoked]

    def remove_application(self, account: Account, client_id: str) -> None:
        """Do what the square icon on the Applications page does."""
        for grant in self.live_grants(account):
            if grant.client.client_id == client_id:
                grant.revoked = True
