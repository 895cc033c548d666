"""Recognises simulated devices by IDs such as VIRTUAL01, which `cams-relay up` and the simulator use.

With the ID, the punches of a removed device can also be recognised.
"""

from __future__ import annotations

import re

_ID = re.compile(r"VIRTUAL[0-9]+")


def is_simulated(device_id: str) -> bool:
    """Return whether a device is simulated, by its ID."""
    return _ID.fullmatch(device_id) is not None
