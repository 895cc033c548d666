"""Notes who exceeds a quota: for the log, once a minute, and for `/health` and `doctor`."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from app.base.throttle import OnceAMinute

_REMEMBERED_SECONDS = 600.0


class Exceeded:
    """Requests that were answered with 429 because of a quota, in one process."""

    def __init__(
        self, what: str, requests: str, log: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`what` has the quota, for example "device"; `requests` are what was refused, for example "callbacks"."""
        self._what = what
        self._requests = requests
        self._log = log
        self._clock = clock
        self._at = -math.inf
        self._setting = ""
        self._refused = 0  # since it was logged last
        self._once = OnceAMinute(clock)

    def note(self, name: str, setting: str) -> None:
        """Note a refused request of the device or key with this ID."""
        self._at, self._setting = self._clock(), setting
        self._refused += 1
        if self._once.may_say():
            self._log.warning(
                "%s %s has exceeded %s; %s answered with 429: %d",
                *(self._what, name, setting, self._requests, self._refused),
            )
            self._refused = 0

    def trouble(self) -> str | None:
        """Return a sentence if a request was refused within the last ten minutes."""
        if self._clock() - self._at > _REMEMBERED_SECONDS:
            return None
        article = "An" if self._what[0] in "AEIOU" else "A"
        return f"{article} {self._what} has exceeded {self._setting} and gets 429. The log names the {self._what}."
