"""Tests of the consent flow: a pytest plugin, and the parts that it shares with `ormco check-consent`."""
