"""Tests of the consent flow: a pytest plugin, and what it and `ormco check-consent` are made of."""
