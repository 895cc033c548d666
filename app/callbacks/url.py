"""Reads the query of a callback's URL: device IDs (`stgid`) and the device's callback secret (`k`).

Some gateways append `?stgid=` to a URL that already has a query, or a `stgid`.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_plus

SECRET_PARAMETER = "k"
_PAIR_ENDS = re.compile(r"[&?]")
_APPENDED = re.compile(r"[&?]stgid=")  # within a value that was percent-encoded as a whole


def form_in(query: str) -> bytes:
    """Return the fields of a version 1.0 callback in its URL, as a form without the secret; may be empty."""
    pairs = [pair for pair in _PAIR_ENDS.split(query) if pair.partition("=")[0] != SECRET_PARAMETER]
    return "&".join(pairs).encode() if any(pair.startswith("att_time=") for pair in pairs) else b""


class UrlParts(NamedTuple):
    """`secret` is empty if the URL has none."""

    hints: list[str]
    secret: str


def url_parts(query: str) -> UrlParts:
    """Return the device IDs and the callback secret in a query as it was sent; the first secret counts."""
    hints: list[str] = []
    secret = ""
    for pair in _PAIR_ENDS.split(query):
        name, _, value = pair.partition("=")
        if name not in ("stgid", SECRET_PARAMETER):
            continue
        first, *appended = _APPENDED.split(unquote_plus(value))
        if name == "stgid":
            appended.insert(0, first)
        elif not secret:
            secret = first
        hints += filter(None, appended)
    return UrlParts(hints, secret)
