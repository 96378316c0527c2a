"""Locators for elements of the pages, by role and by visible words; only this package has these words."""
