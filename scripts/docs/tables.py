"""Tables of the site from ``results/*.json``: nothing in them is typed."""

from __future__ import annotations


def table(name: str, argument: str) -> str:
    raise KeyError(name)
