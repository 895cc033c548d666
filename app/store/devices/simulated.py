"""Marks simulated devices: `{g}:simulated_devices`. The mark decides, not the device's ID.

Marks of removed devices are kept, so that their punches can still be recognised. Earlier versions stored no marks, and
recognised simulated devices by IDs such as VIRTUAL01. So a device without a mark is still recognised by its ID.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.store.server.connection import Connection
from app.store.server.keys import SIMULATED_DEVICES

_ID_WITHOUT_MARK = re.compile(r"VIRTUAL[0-9]+")


@dataclass(frozen=True, slots=True)
class SimulatedIds:
    """The marks at one moment. `device_id in ids` is whether a device is simulated, or was when it was removed."""

    simulated: frozenset[str]
    real: frozenset[str]

    def __contains__(self, device_id: str) -> bool:
        if device_id in self.simulated or device_id in self.real:
            return device_id in self.simulated
        return _ID_WITHOUT_MARK.fullmatch(device_id) is not None


class SimulatedDevices:
    """The stored marks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def mark(self, device_id: str, simulated: bool) -> None:
        """Note whether a device is simulated. Raises redis errors."""
        if simulated or _ID_WITHOUT_MARK.fullmatch(device_id):
            self._connection.redis.hset(SIMULATED_DEVICES, device_id, int(simulated))
        else:
            self._connection.redis.hdel(SIMULATED_DEVICES, device_id)

    def ids(self) -> SimulatedIds:
        """Read the marks. Raises redis errors."""
        marks = self._connection.redis.hgetall(SIMULATED_DEVICES)
        simulated = frozenset(name.decode() for name, mark in marks.items() if mark == b"1")
        return SimulatedIds(simulated, frozenset(name.decode() for name in marks) - simulated)
