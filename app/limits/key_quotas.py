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


# Each quota: its name in headers, its time in seconds, and its setting
_QUOTAS = (("key-minute", 60, "RELAY_KEY_MIB_PER_MINUTE"), ("key-day", 86_400, "RELAY_KEY_MIB_PER_DAY"))


class OverQuota(Exception):
    """The API key has sent too much. The message names the setting. `seconds` is how long to wait."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class KeyQuotas:
    """The quotas of all API keys, in one process."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._keys: dict[str, tuple[Allowance, ...]] = {}
        self._exceeded = Exceeded("API key", "requests", log, clock)

    def charge(self, key_id: str, size: int) -> None:
        """Count the body of a key's request, in bytes. Raises OverQuota."""
        for allowance, (_, _, setting) in zip(self._allowances(key_id), _QUOTAS, strict=True):
            if not allowance.take(size):
                self._exceeded.note(key_id, setting)
                seconds = max(1, allowance.seconds_until(size))
                raise OverQuota(
                    f"The API key has exceeded {setting}. Send the request again in {seconds} s.", seconds
                )

    def headers(self, key_id: str) -> dict[str, str]:
        """Return a key's quotas and what is left of them, as the headers of draft-ietf-httpapi-ratelimit-headers."""
        policies, states = [], []
        for allowance, (name, seconds, _), most in zip(
            self._allowances(key_id), _QUOTAS, self._sizes(), strict=True
        ):
            policies.append(f'"{name}";q={most};qu="content-bytes";w={seconds}')
            states.append(f'"{name}";r={int(allowance.left())};t={allowance.seconds_until_full()}')
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}

    def _allowances(self, key_id: str) -> tuple[Allowance, ...]:
        if key_id not in self._keys:
            self._keys[key_id] = tuple(
                Allowance(most / seconds, most, self._clock)
                for most, (_, seconds, _) in zip(self._sizes(), _QUOTAS, strict=True)
            )
        return self._keys[key_id]

    def _sizes(self) -> tuple[int, int]:
        """Return the quotas in bytes."""
        return self._limits.key_mib_per_minute * MIB, self._limits.key_mib_per_day * MIB

    def trouble(self) -> str | None:
        """Return a sentence if a key was over its quota within the last ten minutes."""
        return self._exceeded.trouble()
