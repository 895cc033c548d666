"""Limits how much one API key may send: far more than an honest one, but too little to fill a store in minutes.

Commands wait in the store with their photos and templates, and lists of employees stay there. Each web process counts
separately.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.limits.allowance import Allowance
from app.limits.exceeded import Exceeded
from app.settings.limits import MIB, Limits

log = logging.getLogger("relay.api")

_MINUTE, _DAY = 60.0, 86_400.0


class OverQuota(Exception):
    """The API key has sent too much. The message names the setting."""


class KeyQuotas:
    """The quotas of all API keys, in one process."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._keys: dict[str, tuple[Allowance, Allowance]] = {}
        self._exceeded = Exceeded("API key", "requests", log, clock)

    def charge(self, key_id: str, size: int) -> None:
        """Count the body of a key's request, in bytes. Raises OverQuota."""
        if key_id not in self._keys:
            a_minute, a_day = self._limits.key_mib_per_minute * MIB, self._limits.key_mib_per_day * MIB
            self._keys[key_id] = (
                Allowance(a_minute / _MINUTE, a_minute, self._clock),
                Allowance(a_day / _DAY, a_day, self._clock),
            )
        names = ("RELAY_KEY_MIB_PER_MINUTE", "RELAY_KEY_MIB_PER_DAY")
        for allowance, setting in zip(self._keys[key_id], names, strict=True):
            if not allowance.take(size):
                self._exceeded.note(key_id, setting)
                raise OverQuota(f"The API key has exceeded {setting}. Send the request again later.")

    def trouble(self) -> str | None:
        """Return a sentence if a key was over its quota within the last ten minutes."""
        return self._exceeded.trouble()
