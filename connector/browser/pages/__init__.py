"""Locators for the pages, by role and by the words a person reads; no other package contains these words."""
