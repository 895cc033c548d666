"""Allowances: so much per second, and unused parts are saved up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil


class Allowance:
    """Allows a number of units per second, and at most `most` at once."""

    def __init__(self, a_second: float, most: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_second, self._most, self._clock = a_second, most, clock
        self._left, self._at = most, clock()

    def take(self, units: float) -> bool:
        """Use up some units. Return False, and use none, if there are not enough."""
        if self.left() < units:
            return False
        self._left -= units
        return True

    def left(self) -> float:
        """Return how many units can be used at once now."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._a_second)
        self._at = now
        return self._left

    def seconds_until(self, units: float) -> int:
        """Return after how many whole seconds there are so many units; 0 if there are."""
        return max(0, ceil((min(units, self._most) - self.left()) / self._a_second))

    def seconds_until_full(self) -> int:
        """Return after how many whole seconds nothing is used up any more."""
        return self.seconds_until(self._most)


class FairAllowance:
    """One allowance for addresses that recently sent genuine callbacks, and one for all others.

    So strangers can't use up what the gateway needs.
    """

    def __init__(self, a_second: float, most: float) -> None:
        self._trusted, self._strangers = Allowance(a_second, most), Allowance(a_second, most)

    def take(self, units: float, *, trusted: bool) -> bool:
        """Use up some units. Return False, and use none, if there are not enough."""
        return (self._trusted if trusted else self._strangers).take(units)
