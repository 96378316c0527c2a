"""Pages for people: the code page and the landing page (`code_page`), and the words they share.

`words` has the words of all pages, in each language. `redirect/` is `connector.redirect` in
JavaScript, module by module; both read the same JSON tables.
"""
