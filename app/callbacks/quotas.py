"""Limits how much one device may store: far more than an honest one sends, but too little to fill a store in minutes.

A callback over the quota is refused with 429: the gateway keeps it and sends it again, so nothing is lost. Each web
process counts for itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from app.callbacks.body import Refused
from app.limits.allowance import Allowance
from app.limits.exceeded import Exceeded
from app.settings.limits import MIB, Limits

log = logging.getLogger("relay.callback")

_MINUTE, _DAY = 60.0, 86_400.0


class _Quota(NamedTuple):
    """The rest of a device's quota."""

    events: Allowance
    bytes_a_minute: Allowance
    bytes_a_day: Allowance


class Quotas:
    """The quotas of all devices, in one process."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._devices: dict[str, _Quota] = {}
        self._exceeded = Exceeded("device", "callbacks", log, clock)

    def charge(self, device_id: str, events: int, size: int) -> None:
        """Count the events and bytes of a device's callback. Raises Refused (429) if it exceeds a quota."""
        quota = self._devices.get(device_id) or self._new(device_id)
        for allowance, units, setting in (
            (quota.events, events, "RELAY_DEVICE_EVENTS_PER_MINUTE"),
            (quota.bytes_a_minute, size, "RELAY_DEVICE_MIB_PER_MINUTE"),
            (quota.bytes_a_day, size, "RELAY_DEVICE_MIB_PER_DAY"),
        ):
            if not allowance.take(units):
                raise self.refused(device_id, setting)

    def refused(self, device_id: str, setting: str) -> Refused:
        """Note that a device is over its quota, and return the error to raise."""
        self._exceeded.note(device_id, setting)
        return Refused(
            429,
            "over_quota",
            f"The device has exceeded {setting}. Send the callback again later.",
            device_id=device_id,
        )

    def trouble(self) -> str | None:
        """Return a sentence if a device was over its quota within the last ten minutes."""
        return self._exceeded.trouble()

    def _new(self, device_id: str) -> _Quota:
        limits, clock = self._limits, self._clock
        events = limits.device_events_per_minute
        a_minute, a_day = limits.device_mib_per_minute * MIB, limits.device_mib_per_day * MIB
        self._devices[device_id] = quota = _Quota(
            Allowance(events / _MINUTE, events, clock),
            Allowance(a_minute / _MINUTE, a_minute, clock),
            Allowance(a_day / _DAY, a_day, clock),
        )
        return quota
