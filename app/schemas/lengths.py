"""The limits of parameters and bodies. They are enforced and described from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.gateway.values import LONGEST_ID
from app.schemas.devices import LONGEST_DEVICE_ID

MIB: Final = 1024 * 1024
LARGEST_BODY: Final = 16 * MIB
"""For a callback, a list of employees, and an action with a photo or template."""
LARGEST_JSON: Final = MIB
"""For any other body. Its fields contain far less."""

_OWN_ID = 128  # an ID that the relay made; the longest has 53
_SEVERAL = 8_000  # IDs or types, separated by commas; a URL can have 8,190 bytes
_TIME = 64

HIGHEST_INDEX: Final = 99
"""The highest index of a credential in a URL."""

# The most characters, by name
IN_QUERY: Final[Mapping[str, int]] = {
    "after": _OWN_ID,
    "cursor": 4_000,
    "date": 10,
    "device_id": _SEVERAL,
    "employee_id": 100,
    "event_id": _OWN_ID,
    "expires": 20,
    "last_event_id": _OWN_ID,
    "month": 7,
    "occurred_since": _TIME,
    "occurred_until": _TIME,
    "signature": 64,
    "since": _TIME,
    "stgid": LONGEST_DEVICE_ID,
    "timezone": 64,
    "type": _SEVERAL,
    "until": _TIME,
    "user_id": _SEVERAL,
}
IN_PATH: Final[Mapping[str, int]] = {
    "blob_id": _OWN_ID,
    "command_id": _OWN_ID,
    "correction_id": _OWN_ID,
    "delivery_id": _OWN_ID,
    "device_id": LONGEST_DEVICE_ID,
    "event_id": _OWN_ID,
    "key_id": _OWN_ID,
    "name": 100,
    "replay_id": _OWN_ID,
    "subscription_id": _OWN_ID,
    "user_id": LONGEST_ID,
}
IN_HEADERS: Final[Mapping[str, int]] = {"Last-Event-ID": _OWN_ID, "Prefer": 200}


def longest(place: str, name: str) -> int:
    """Return the most characters of a parameter in the `query`, `path` or `header`. Raises KeyError."""
    return {"query": IN_QUERY, "path": IN_PATH, "header": IN_HEADERS}[place][name]
