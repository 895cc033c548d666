"""Logs when the store becomes unavailable, once a minute while it is away, and when it is back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.base.throttle import OnceAMinute


class Absence:
    """The store's absence, as seen by one part of a process."""

    def __init__(
        self,
        log: logging.Logger,
        meanwhile: str | Callable[[], str] = "asking again",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`meanwhile` is a text that says what happens while the store is away, or a function that returns it."""
        self.since: float | None = None  # seconds since 1970; None while the store is there
        self._log = log
        self._meanwhile = meanwhile
        self._clock = clock
        self._began: float | None = None
        self._once = OnceAMinute(clock)

    def note(self, error: Exception) -> None:
        """Note that a call failed because the store is away."""
        now = self._clock()
        if self._began is None:
            self._began, self.since = now, time.time()
            self._once = OnceAMinute(self._clock)
        if not self._once.may_say():
            return
        meanwhile = self._meanwhile if isinstance(self._meanwhile, str) else self._meanwhile()
        if now - self._began < 1:
            self._log.warning("the store can't be reached (%s); %s", type(error).__name__, meanwhile)
        else:
            lasts = now - self._began
            self._log.warning(
                "the store has been away for %.0f s (%s); %s", lasts, type(error).__name__, meanwhile
            )

    def end(self) -> None:
        """Note that a call succeeded."""
        if self._began is not None:
            self._log.warning("the store is back after %.0f s", self._clock() - self._began)
            self._began = self.since = None
