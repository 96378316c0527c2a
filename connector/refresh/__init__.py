"""Provide valid access tokens, with one token call for all callers, and without losing a new token.

`AccessTokens.token` in ten lines:

1. The token in `memory` is valid, and was read from the store less than two seconds ago: return it.
2. Read the practice's row. Its token is valid: return it, and refresh it in the `background` if it
   expires soon.
3. Threads of this process that want the same practice wait for one of them (`refresher`).
4. Another process has the row's lease: read again after growing pauses, until there are newer tokens.
5. Claim: one UPDATE of the row as it was read. It is the lock, and the record that a token is about to be
   sent. (`bulk` claims several rows that are due with one UPDATE.)
6. Call: the refresh token is sent once (`rotate`, the only sender). No database connection or lock is
   held meanwhile.
7. Settle: one UPDATE stores the new tokens in place of those that were sent, and ends the lease.
8. Refused: if another process has stored newer tokens, use those; otherwise the connection needs repair
   (`failures`).
9. No complete response: it may be lost. The old access token is used until it expires, then one attempt
   decides; a provider that accepts a refresh token twice gets it again immediately.
10. A process dies: its lease ends with it, without a settle. That is case 9.
"""

from __future__ import annotations

from connector.refresh.access import AccessTokens

__all__ = ["AccessTokens"]
