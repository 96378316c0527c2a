"""Whatever a person copied → a checked authorization response. Pure: no settings, no network, no clock.

In the order of use: `normalize` cleans the text, `mail_gateways` undoes link rewriting, `find` finds every
response in it, `address` tells where each came from, `wrapping` joins a code that was wrapped, and `reading`
decides what all of it means. `parse` is the entrance: `parse_redirect`.
"""
