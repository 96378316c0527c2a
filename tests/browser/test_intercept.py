"""The contents that a provider's page may have, and the pages that can bring the authorization response."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.support.authorization_pages import CODE, AuthorizationPages, allow

if TYPE_CHECKING:
    from playwright.sync_api import Page

Capture = Callable[..., str]

# {0} is the landing site. Each of these would deliver another party's response.
FRAMES = {
    "an error": "<iframe src='{0}?error=login_required'></iframe>",
    "a code": "<iframe src='{0}?code=ATTACKERCODE&state=s'></iframe>",
    "any path": "<iframe src='{0}any/where?error=1'></iframe>",
    "no parameter": "<iframe src='{0}'></iframe>",
    "a frame in a frame": "<iframe srcdoc=\"<iframe src='{0}?code=ATTACKERCODE'></iframe>\"></iframe>",
    "redirected by the provider": "<iframe src='/away'></iframe>",
    "a portal and a fenced frame": "<portal src='{0}?code=A'></portal><fencedframe src='{0}?code=A'>"
    "</fencedframe><script>f = document.querySelector('fencedframe'); if (self.FencedFrameConfig)"
    " f.config = new FencedFrameConfig('{0}?code=A')</script>",
    "a posted form": "<iframe name=f></iframe><form id=x method=post target=f action='{0}'>"
    "<input name=code value=ATTACKERCODE></form><script>x.submit()</script>",
    "object and embed": "<object data='{0}?code=A' type='text/html'></object>"
    "<embed src='{0}?code=A' type='text/html'>",
    "a refresh in a frame": "<iframe srcdoc=\"<meta http-equiv=refresh content='0;url={0}?code=A'>\">"
    "</iframe>",
    "a download in a frame": "<iframe srcdoc=\"<a download href='{0}?code=A'>x</a>"
    '<script>document.links[0].click()</script>"></iframe>',
    "a frame made by a script": "<script>f = document.body.appendChild(document.createElement('iframe'));"
    "f.contentWindow.location = '{0}?error=1'</script>",
}
PARTS = {
    "requests of scripts": "<script>fetch('{0}?code=A', {{mode: 'no-cors'}}).catch(() => 0);"
    "navigator.sendBeacon('{0}?code=A', 'x'); new EventSource('{0}?code=A')</script>",
    "history entries by script": "<script>for (f of ['pushState', 'replaceState'])"
    " try {{ history[f](null, '', '{0}?code=A') }} catch {{}}</script>",
    "a ping": "<a ping='{0}?code=A' href='#x'>x</a><script>document.links[0].click()</script>",
    "workers": "<script>new Worker(URL.createObjectURL(new Blob(["
    "`fetch('{0}?code=A', {{mode: 'no-cors'}}).catch(() => 0)`])))</script>",
    "a service worker": "<script>navigator.serviceWorker.register('/sw.js')</script>",
    "a web socket": "<script>try {{ new WebSocket('{0}?code=A'.replace('http', 'ws')) }} catch {{}}</script>",
    "prefetched": "<link rel=prefetch as=document href='{0}?code=A'><link rel=prerender href='{0}?code=A'>"
    "<link rel=preload as=fetch href='{0}?code=A'><link rel=manifest href='{0}?code=A'>"
    "<link rel=dns-prefetch href='{0}'>",
    "provider's speculation rules": '<script type=speculationrules>{{"prefetch": [{{"urls": ["/away"]}}],'
    '"prerender": [{{"urls": ["/away", "/window"]}}]}}</script>',
    "speculation rules": '<script type=speculationrules>{{"prefetch": [{{"urls": ["{0}?code=A"]}}],'
    '"prerender": [{{"urls": ["{0}?code=A"]}}]}}</script>',
}
WINDOWS = {
    "of an advertisement": "<iframe srcdoc=\"<script>open('{0}?code=ATTACKERCODE')</script>\"></iframe>",
    "of a frame, by the provider": "<iframe srcdoc=\"<script>open('/away')</script>\"></iframe>",
    "of a frame, and what that opens": "<iframe src=/advertisement></iframe>",
    "of a frame, without an opener": '<iframe srcdoc="'
    "<script>open('/away', '_blank', 'noopener')</script>\"></iframe>",
    # With pauses: a window that navigates while it is replaced crashes Chromium's page process.
    "that a frame navigates again and again": "<iframe srcdoc=\"<script>w = open('about:blank');"
    "setInterval(() => w.location = '{0}?code=A', 250)</script>\"></iframe>",
    "view-source of the landing site": "<script>open('view-source:{0}?code=A')</script>",
    "straight to the landing site": "<script>open('{0}?error=login_required')</script>",
    "without an opener": "<script>open('{0}?code=ATTACKERCODE', '_blank', 'noopener')</script>",
}


def hostile(table: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("html", list(table.values()), ids=list(table))


@hostile({"frames": "".join(FRAMES.values()), "parts": "".join(PARTS.values())} | WINDOWS)
def test_only_the_pages_of_this_consent_deliver_the_response(
    html: str, capture: Capture, pages: AuthorizationPages, landing: str
) -> None:
    """Requests of frames, advertisements' windows and other parts of a page are ignored, and do not leave."""
    pages.more["advertisement"] = f"<script>open('/window')</script>{landing}"
    pages.more["window"] = f"<script>open('{landing}?error=1')</script>"
    pages.responses["away"] = (302, {"Location": f"{landing}?code=ATTACKERCODE"})
    pages.responses["sw.js"] = (200, {"Content-Type": "text/javascript"})

    def person(page: Page) -> None:
        page.wait_for_timeout(700)  # time for everything on the page to run
        page.bring_to_front()
        page.evaluate("history.replaceState(null, '', '/allowed')")
        allow(page)

    url = pages.authorize_with(html.format(landing))
    response = capture(url, redirect_uri=landing, person=person)
    assert response == pages.target


@pytest.mark.parametrize("html", ["<iframe src='{0}'></iframe>", "<script>open('{0}')</script>"])
def test_code_in_a_frame_does_not_reach_a_provider_that_serves_the_redirect_uri(
    html: str, capture: Capture, pages: AuthorizationPages
) -> None:
    """If the provider serves the redirect URI itself, its frames work; none gets there with a code."""
    redirect_uri = f"{pages.url}/callback"
    pages.target = f"{redirect_uri}?{CODE}"
    pages.more["callback"] = "a frame of the provider's own"
    frames = html.format("/callback?code=ATTACKERCODE") + "<iframe src='/callback?session=1'></iframe>"

    def person(page: Page) -> None:
        page.wait_for_timeout(700)
        page.bring_to_front()
        allow(page)

    assert capture(pages.authorize_with(frames), redirect_uri=redirect_uri, person=person) == pages.target
    assert "/callback?session=1" in pages.asked
    assert not [path for path in pages.asked if "code=" in path]


def test_window_of_provider_is_followed(capture: Capture, pages: AuthorizationPages, landing: str) -> None:
    """A window that the page itself opened at the provider brings the response, however late it moves on."""
    pages.more["later"] = f"<script>setTimeout(() => location = '{pages.target}', 300)</script>"
    pages.more["start"] = "<button onclick=\"window.open('/later')\">Allow access</button>"
    url = pages.authorize("start")
    assert capture(url, redirect_uri=landing, person=allow) == pages.target


def test_link_of_an_advertisement_that_a_person_opens_in_a_tab(
    capture: Capture, pages: AuthorizationPages, landing: str
) -> None:
    """A tab that another site sends on to the landing site brings nothing; the provider's own page does."""
    elsewhere = pages.url.replace("127.0.0.1", "localhost")
    pages.more["advertisement"] = f"<a href='{elsewhere}/away?redirect_uri={landing}'>Buy</a>"
    pages.responses["away"] = (302, {"Location": f"{landing}?code=ATTACKERCODE"})

    def person(page: Page) -> None:
        page.frame_locator("iframe").get_by_role("link").click(modifiers=["ControlOrMeta"])
        page.wait_for_timeout(700)
        page.context.new_page().goto(pages.authorize("302"))

    url = pages.authorize_with(f"<iframe src='{elsewhere}/advertisement'></iframe>")
    assert capture(url, redirect_uri=landing, person=person) == pages.target


@pytest.mark.parametrize(
    "response",
    [
        "fetch(event.request)",
        "Response.redirect('{0}')",
        "fetch('{1}?code=A', {{mode: 'no-cors'}}).catch(() => 0).then(() => fetch(event.request))",
    ],
)
def test_service_worker_of_the_provider(
    response: str, capture: Capture, pages: AuthorizationPages, landing: str
) -> None:
    """A service worker in between changes nothing, and its own requests do not leave."""
    pages.scripts["worker.js"] = (
        "addEventListener('install', () => skipWaiting());"
        "addEventListener('activate', event => event.waitUntil(clients.claim()));"
        "addEventListener('fetch', event => event.request.url.includes('/302')"
        f" && event.respondWith({response.format(pages.target, landing)}))"
    )

    def person(page: Page) -> None:
        page.evaluate("navigator.serviceWorker.register('/worker.js')")
        page.wait_for_function("navigator.serviceWorker.controller")
        allow(page)

    url = pages.authorize("authorize")
    assert capture(url, redirect_uri=landing, person=person) == pages.target
