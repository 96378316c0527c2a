"""Get the authorization response out of whatever a person copied.

In the order of use: `marks` cleans the text, `links` undoes link rewriting, `search` finds every answer in
it, `address` tells where each came from, `wrapping` joins a code that was wrapped, and `reading` decides
what all of it means.
"""
