"""Whatever a person copied → a checked authorization response. Pure: no settings, no network, no clock.

`parse_redirect` in `parse` is the way in. A whole address is read right there: its host by `address`, its
code by `code`, which knows the formats. Any other text goes through `paste`: `normalize` cleans it,
`mail_gateways` undoes link rewriting, `find` finds every response in it, `wrapping` joins a wrapped code.
`dotnetopenauth` sees damage in a classic code. `refusals` has the words for what cannot be read.

The code page's JavaScript (`connector/web/redirect`) does the same, from the same JSON tables.
"""

__all__ = ["REDIRECT_URI"]

# The guide, step 8 of Getting Connected: where the browser is sent with the code.
REDIRECT_URI = "https://ormco.com/"
