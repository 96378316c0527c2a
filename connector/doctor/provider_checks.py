"""Check the provider: that it can be reached and knows Ormco, and that its clock is right."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qs, urljoin, urlsplit

from connector.clock import Clock, Deadline, clock_skew
from connector.communicate.client import origin
from connector.doctor.check import Check, clock_check, failed, fine, start, warning
from connector.errors import (
    ClientRefusedError,
    ConnectorError,
    GrantRefusedError,
    ProviderErrorPageError,
    ProviderUnavailableError,
    SettingError,
)
from connector.oauth.authorization_request import AuthorizationRequest
from connector.oauth.http import call, open_session, retry_after
from connector.oauth.provider import Provider
from connector.redact import shown
from connector.resources import Resources

__all__ = ["client", "client_secret", "discovery", "hosts"]

_HOST_SECONDS = 30.0
_MOST_REDIRECTS = 5
_GATEWAY = (502, 503, 504)


def discovery(resources: Resources) -> list[Check]:
    """Read the discovery document if the provider has one."""
    issuer = resources.configured.issuer
    if issuer is None:
        return []
    provider = resources.provider
    revocation = "a revocation endpoint" if provider.revocation_endpoint else "no revocation endpoint"
    return [fine("discovery", f"{issuer} describes itself, with {revocation}")]


def hosts(resources: Resources) -> list[Check]:
    """Contact each host of the provider, all at the same time, and compare its clock with this machine's."""
    places = _places(resources.provider)
    deadline = resources.clock.deadline(_HOST_SECONDS)
    started = [start(partial(_reach, place.url, resources.clock)) for place in places]
    results = [_in_time(result, deadline) for result in started]
    checks = []
    for place, result in zip(places, results, strict=True):
        name = f"host {urlsplit(place.url).netloc}"
        if result.error is None:
            checks.append(fine(name, f"answers ({place.use})"))
        elif place.needed:
            checks.append(failed(name, result.error))
        else:
            checks.append(warning(name, f"{result.error.message} ({place.use})", result.error.hint))
    skews = [result.skew for result in results if result.skew is not None]
    return checks + ([clock_check("clock", skews[0], "the provider's")] if skews else [])


def client(resources: Resources) -> list[Check]:
    """Send an authorization request as a browser would, to check that client and redirect URI are known."""
    try:
        registration = resources.client
    except SettingError:
        return []  # reported by the check of the settings
    request = AuthorizationRequest.new(
        "doctor", provider=resources.provider, client=registration, now=resources.clock.utc_now()
    )
    refusal = _refusal(request.url, registration.redirect_uri, resources.clock)
    if refusal is not None:
        return [failed("client", refusal)]
    return [fine("client", f"{registration.client_id} may ask for consent, with {registration.redirect_uri}")]


def client_secret(resources: Resources) -> list[Check]:
    """Authenticate at the token endpoint with a made-up refresh token, so that no real one is at risk."""
    try:
        resources.client  # noqa: B018 - reported by the check of the settings
    except SettingError:
        return []
    try:
        resources.endpoint.refresh(f"made-up-{secrets.token_hex(16)}")
    except GrantRefusedError as exc:
        words = (
            "is accepted"
            if exc.certain
            else "is not rejected; this provider may check it only at a real refresh"
        )
        return [fine("client_secret", f"the client's own authentication {words}")]
    except ClientRefusedError as exc:
        return [failed("client_secret", exc)]
    return [fine("client_secret", "the client's own authentication is accepted")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    url: str
    use: str
    needed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _HostResult:
    error: ProviderUnavailableError | None = None
    skew: float | None = None


def _places(provider: Provider) -> list[_Place]:
    """Return one address of each host, the essential ones first."""
    named: Iterable[tuple[str | None, str, bool]] = (
        (provider.authorization_endpoint, "consent", True),
        (provider.token_endpoint, "tokens", True),
        (provider.users_url, "accounts", True),
        (provider.userinfo_endpoint, "accounts", True),
        (provider.revocation_endpoint, "revocation", True),
        *((url, f"cases, {region}", False) for region, url in provider.metadata_urls.items()),
        (provider.applications_page, "the Applications page", False),
        (provider.portal_url, "the portal", False),
    )
    places: dict[str, _Place] = {}
    for url, use, needed in named:
        if url is not None:
            places.setdefault(origin(url), _Place(url=url, use=use, needed=needed))
    return list(places.values())


def _in_time(result: Future[_HostResult], deadline: Deadline) -> _HostResult:
    try:
        return result.result(deadline.left)
    except LateError:
        what, hint = f"no response within {_HOST_SECONDS:g} seconds", "Check the network and any proxy."
        return _HostResult(error=ProviderUnavailableError(what, hint=hint))


def _reach(url: str, clock: Clock) -> _HostResult:
    with open_session() as session:
        before = clock.time()
        try:
            response = call(session, "HEAD", url)
        except ProviderUnavailableError as exc:
            return _HostResult(error=exc)
        now = (before + clock.time()) / 2
    if response.status_code in _GATEWAY:
        error = ProviderUnavailableError(
            f"{urlsplit(url).netloc} is down ({response.status_code})",
            hint="Try again in a few minutes.",
            retry_after=retry_after(response, clock.time()),
        )
        return _HostResult(error=error)
    return _HostResult(skew=clock_skew(response.headers.get("Date"), now))


def _refusal(url: str, redirect_uri: str, clock: Clock) -> ConnectorError | None:
    """Follow an authorization request to the sign-in page; return an error if it does not get there."""
    first = origin(url)
    with open_session() as session:
        session.headers["Accept"] = "text/html"
        for _ in range(_MOST_REDIRECTS):
            try:
                response = call(session, "GET", url)
            except ProviderUnavailableError as exc:
                return exc
            if response.status_code >= 500:
                return ProviderUnavailableError(
                    f"{urlsplit(url).netloc} answers a request for consent with {response.status_code}",
                    hint="Try again in a few minutes.",
                    retry_after=retry_after(response, clock.time()),
                )
            if response.status_code >= 400 or _is_error_page(url):
                return _unknown(url, response.status_code)
            if not 300 <= response.status_code < 400:
                return None
            url = urljoin(url, response.headers.get("Location", ""))
            if url.startswith(redirect_uri):
                return _reported_error(url)
            if origin(url) != first:
                return None  # the sign-in page of another host
    return None


def _is_error_page(url: str) -> bool:
    return urlsplit(url).path.lower().rstrip("/").endswith("/home/error")


def _unknown(url: str, status: int) -> ProviderErrorPageError:
    return ProviderErrorPageError(
        f"{urlsplit(url).netloc} answers a request for consent with its own error page ({status})",
        hint="The client id or the redirect URI is not registered there: check ORMCO_CLIENT_ID, "
        "ORMCO_REDIRECT_URI, ORMCO_SCOPE and ORMCO_PROVIDER.",
    )


def _reported_error(url: str) -> ConnectorError | None:
    """Return the error that a redirect reports, or None if it only means that a person has to act."""
    error = parse_qs(urlsplit(url).query).get("error", [""])[0]
    if not error or error in ("login_required", "interaction_required", "consent_required"):
        return None
    return ClientRefusedError(
        f"the provider refuses a request for consent ({shown(error, 40)})",
        hint="Check ORMCO_SCOPE and ORMCO_CLIENT_ID: 3Shape has registered them.",
    )
