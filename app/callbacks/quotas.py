"""Limits how much one device may store: far more than an honest one sends, but too little to fill a store in minutes.

A callback over the quota is refused with 429: the gateway keeps it and sends it again, so nothing is lost. Each web
process counts for itself.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from app.base.throttle import OnceAMinute
from app.callbacks.body import Refused
from app.limits.allowance import Allowance
from app.settings.limits import MIB, Limits

log = logging.getLogger("relay.callback")

_MINUTE, _DAY = 60.0, 86_400.0
_REMEMBERED_SECONDS = 600.0


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
        self._refused_at = -math.inf
        self._once = OnceAMinute(clock)
        self._refused = 0  # since it was logged last
        self._setting = ""

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
        self._note(device_id, setting)
        return Refused(
            429,
            "over_quota",
            f"The device has exceeded {setting}. Send the callback again later.",
            device_id=device_id,
        )

    def trouble(self) -> str | None:
        """Return a sentence if a device was over its quota within the last ten minutes."""
        if self._clock() - self._refused_at > _REMEMBERED_SECONDS:
            return None
        return f"A device has exceeded {self._setting} and gets 429. The log names the device."

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

    def _note(self, device_id: str, setting: str) -> None:
        now = self._clock()
        self._refused_at, self._setting = now, setting
        self._refused += 1
        if self._once.may_say():
            log.warning(
                "device %s has exceeded %s: %d callbacks were answered with 429",
                device_id,
                setting,
                self._refused,
            )
            self._refused = 0
