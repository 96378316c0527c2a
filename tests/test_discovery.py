"""From a discovery document to a provider's endpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import responses

from connector.errors import ProviderUnavailableError, SettingError
from connector.oauth.discovery import discover, probe
from connector.oauth.provider import Provider
from connector.oauth.provider_file import load_provider
from tests.support.responses import raw_response, serving
from tests.support.sandbox import RunningSandbox

ISSUER = "https://as.example.test/realm"
URL = f"{ISSUER}/.well-known/openid-configuration"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
    "scopes_supported": ["offline_access", "address", "email", "openid", "profile"],
    "authorization_response_iss_parameter_supported": True,
}
PROVIDER = Provider(name="mine", issuer=ISSUER)


def discovered(provider: Provider = PROVIDER, **changes: Any) -> Provider:
    """Discover a provider whose document differs so from an ordinary one."""
    with responses.RequestsMock() as mock:
        mock.get(URL, json={key: value for key, value in (DOCUMENT | changes).items() if value is not None})
        return discover(provider)


def unavailable(provider: Provider = PROVIDER, **given: Any) -> ProviderUnavailableError:
    """Return the error if this comes instead of a document."""
    with responses.RequestsMock() as mock:
        mock.get(URL, **given)
        with pytest.raises(ProviderUnavailableError) as caught:
            discover(provider)
    return caught.value


def test_the_document_supplies_missing_settings() -> None:
    """Endpoints, scope and the promise of `iss` come from the document; the name stays."""
    assert discovered() == Provider(
        name="mine",
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/authorize",
        token_endpoint=f"{ISSUER}/token",
        revocation_endpoint=f"{ISSUER}/revoke",
        userinfo_endpoint=f"{ISSUER}/userinfo",
        scope="openid profile email offline_access",
        returns_iss=True,
    )


def test_settings_take_precedence_over_the_document() -> None:
    """A provider file has the last word over its server's document."""
    given = replace(PROVIDER, token_endpoint="https://other.example.test/token", scope="api")
    found = discovered(given)
    assert (found.token_endpoint, found.scope) == (given.token_endpoint, "api")
    assert found.authorization_endpoint == DOCUMENT["authorization_endpoint"]


@pytest.mark.parametrize(("ours", "theirs"), [(ISSUER, f"{ISSUER}/"), (f"{ISSUER}/", ISSUER)])
def test_the_issuer_is_spelt_as_the_provider_spells_it(ours: str, theirs: str) -> None:
    """A slash more or less is the same issuer; `iss` is later compared with the provider's own spelling."""
    assert discovered(replace(PROVIDER, issuer=ours), issuer=theirs).issuer == theirs


@pytest.mark.parametrize("issuer", ["https://evil.example.test", ISSUER.upper(), 5, "", None])
def test_another_issuers_document_is_refused(issuer: object) -> None:
    """A document that names another issuer could be a mix-up attack."""
    with pytest.raises(SettingError, match="names another issuer"):
        discovered(issuer=issuer)


def test_an_endpoint_that_is_not_encrypted_is_refused() -> None:
    """No document can send a secret over plain http."""
    with pytest.raises(SettingError, match="token_endpoint of .* is not encrypted"):
        discovered(token_endpoint="http://as.example.test/token")


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize("value", [None, 5])
def test_a_document_without_an_endpoint_is_refused(name: str, value: object) -> None:
    """Both endpoints are needed, from the file or the document."""
    with pytest.raises(SettingError, match="lacks"):
        discovered(PROVIDER, **{name: value})


@pytest.mark.parametrize("supported", [None, "openid", []])
def test_no_scope_is_requested_if_none_is_known(supported: object) -> None:
    """If the server does not say which scopes it has, none is requested."""
    assert discovered(scopes_supported=supported).scope is None


@pytest.mark.parametrize(
    "given",
    [
        {"status": 500},
        {"status": 200, "body": "<html>sign in</html>"},
        {"status": 200, "body": "null"},
        {"status": 302, "headers": {"Location": "https://login.example.test/"}},
        {"status": 404},
    ],
    ids=["500", "portal", "null", "302", "404"],
)
def test_without_a_document_the_provider_is_unavailable(given: dict[str, Any]) -> None:
    """An outage, a portal and a redirect are no document; the call that needs it has sent nothing."""
    error = unavailable(**given)
    assert error.message == f"{URL} gave no discovery document ({given['status']})"
    assert error.hint
    assert error.sent is False


def test_a_complete_provider_needs_no_document() -> None:
    """With both endpoints set, the issuer may have no document; one that is busy says when to try again."""
    complete = replace(PROVIDER, authorization_endpoint=f"{ISSUER}/a", token_endpoint=f"{ISSUER}/t")
    with responses.RequestsMock() as mock:
        mock.get(URL, status=404)
        assert discover(complete) is complete
    classic = replace(complete, issuer=None)
    assert discover(classic) is classic  # nothing is fetched
    busy = unavailable(complete, status=503, headers={"Retry-After": "Sun, 22 Nov 2099 12:00:00 GMT"})
    assert busy.retry_after == 300


def test_the_sandboxs_own_document_is_complete(identity: RunningSandbox) -> None:
    """The identity generation is discovered over a real connection."""
    provider = discover(load_provider(identity.provider_file))
    assert provider.complete
    assert provider.returns_iss
    assert provider.revocation_endpoint == f"{identity.url}/connect/revocation"


@pytest.mark.parametrize("status", [200, 302, 400, 404, 405, 500])
def test_any_response_of_the_server_proves_that_it_is_available(status: int) -> None:
    """An authorization endpoint may refuse an empty request; any response shows that it is available."""
    with serving(raw_response(status=status)) as server:
        probe(server.url)
    assert server.requests[0].line.startswith("HEAD ")


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_alone_is_not_the_server(status: int) -> None:
    """The provider is down if a gateway answers, which may say when to try again, or nothing does."""
    with serving(raw_response(status=status, Retry_After="30")) as server:
        with pytest.raises(ProviderUnavailableError) as caught:
            probe(server.url)
    assert caught.value.message == f"{server.url.removeprefix('http://')} is down ({status})"
    assert caught.value.retry_after == 30
    with pytest.raises(ProviderUnavailableError, match="cannot be reached"):
        probe(server.url)


def test_a_document_that_was_cut_has_sent_nothing() -> None:
    """The request that needs the document is not sent."""
    with serving(b"") as server, pytest.raises(ProviderUnavailableError, match="was cut") as caught:
        discover(Provider(name="mine", issuer=server.url))
    assert (caught.value.sent, len(server.requests)) == (False, 1)
