"""The pages of a browser as DevTools sees them: which are open, and which belong to the flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, CDPSession

__all__ = ["PageTargets"]


class PageTargets:
    """Keeps count of the pages of one browser context.

    A page belongs to the flow if it is the first one, if a person opened it, or if the main frame of such a
    page did. A window that a frame opened, such as an advertisement, does not; nor does what that one opens.

    Args:
        context: with its first page open.
        devtools: a session with the whole browser.
    """

    def __init__(self, context: BrowserContext, devtools: CDPSession) -> None:
        session = context.new_cdp_session(context.pages[0])
        first = session.send("Target.getTargetInfo")["targetInfo"]
        session.detach()
        self._first: str = first["targetId"]
        self._context_id = first.get("browserContextId")
        self._open: dict[str, dict[str, Any]] = {}
        self._of_the_flow: set[str] = set()
        devtools.on("Target.targetCreated", self._note)
        devtools.on("Target.targetInfoChanged", self._note)
        devtools.on("Target.targetDestroyed", self._forget)
        devtools.send("Target.setDiscoverTargets", {"discover": True})

    def __bool__(self) -> bool:
        """Whether a page is open."""
        return bool(self._open)

    def is_page(self, frame_id: str | None) -> bool:
        """Return whether this frame is the main frame of a page, which DevTools names like its page."""
        return frame_id in self._open

    def is_of_the_flow(self, page_id: str) -> bool:
        """Return whether this page belongs to the flow."""
        return page_id in self._of_the_flow

    def is_first(self, page_id: str) -> bool:
        """Return whether this is the page that was open at the start."""
        return page_id == self._first

    def host(self, page_id: str) -> str | None:
        """Return the host of the document that the page shows now, or None if there is none yet."""
        return urlsplit(str(self._open[page_id]["url"])).hostname

    def _forget(self, event: dict[str, Any]) -> None:
        self._open.pop(event["targetId"], None)

    def _note(self, event: dict[str, Any]) -> None:
        info = event["targetInfo"]
        if info["type"] != "page" or info.get("browserContextId") != self._context_id:
            return
        self._open[info["targetId"]] = info
        opener = info.get("openerFrameId")
        # Main frames alone have the name of a page; the opener itself may be closed by now.
        if opener is None or opener in self._of_the_flow:
            self._of_the_flow.add(info["targetId"])
