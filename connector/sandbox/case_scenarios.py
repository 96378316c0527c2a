"""What the metadata API can be told to do differently, by name: every oddity that was seen or documented."""

from __future__ import annotations

__all__ = ["CASE_SCENARIOS"]

CASE_SCENARIOS: dict[str, str] = {
    "expired-500": "the metadata API answers 500, not 401, to a token that has ended",
    "cases-move": "while the list is read page by page, older cases are updated and jump to its top",
    "cases-vanish": "while the list is read page by page, cases leave it",
    "bare-actors": "the actors of a case have an id and roles, but no e-mail address and no name",
    "odd-values": "cases have fields, states and types that nobody knows, and fields of the wrong type",
    "no-updated-on": "cases have no UpdatedOn and no ReceivedOn, as in 2016",
    "versions-gone": "earlier versions of a case are not to be had",
    "no-servers": "/api/servers is not there",
    "other-servers": "/api/servers names another region than the account's",
    "foreign-servers": "/api/servers names a host that is not the provider's",
    "foreign-hrefs": "the Href of a file leads to a host that is not the provider's",
    "hostile-names": "attachments of cases that are sent from now on have names that try to leave the folder",
    "cut-download": "a download stops in the middle; asked for the rest, it goes on and stops again",
    "no-range": "a download always begins at the beginning, whatever part is asked for",
    "damaged-download": "a byte of every download is wrong",
    "no-stl": "the lab's own account is not given STL files either",
}
