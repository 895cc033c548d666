"""How fast a target is sent to, and when it counts as down. Pure; times are seconds.

Additive increase, multiplicative decrease: the number in flight falls by half when the target says that it is
overloaded, and grows by one for every round that goes well. A target of which nothing has worked for a while is
down: then only what is due for a retry is tried, one at a time, so that a backlog neither burns its attempts nor
disturbs others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import uniform

from workers.calls import Response

DOWN_AFTER = 10  # failures in a row
DISABLE_AFTER = 5 * 86_400.0
MAX_RETRY_AFTER = 86_400.0
_OVERLOADED = (429, 503)
_NO_ANSWER = ("timeout", "connect_failed")
_JITTER = 0.1


@dataclass(slots=True)
class Pace:
    """The pace of one target."""

    most: int
    allowed: float = 0.0
    failures: int = 0  # in a row
    failing_since: float | None = None  # wall clock
    pause_until: float = 0.0  # loop time

    def __post_init__(self) -> None:
        self.allowed = self.allowed or float(self.most)

    @property
    def down(self) -> bool:
        return self.failures >= DOWN_AFTER

    @property
    def in_flight(self) -> int:
        """How many attempts may be under way."""
        return 1 if self.down else max(1, min(self.most, int(self.allowed)))

    def success(self) -> bool:
        """Notes a delivery; whether the target has just come back."""
        came_back = self.down
        self.failures, self.failing_since = 0, None
        if came_back:
            self.allowed = max(1.0, self.most / 2)
        elif self.allowed < self.most:
            self.allowed = min(float(self.most), self.allowed + 1 / max(1.0, self.allowed))
        return came_back

    def failure(self, response: Response, wall: float, loop_time: float) -> None:
        """Notes a failed attempt."""
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = wall
        if response.status in _OVERLOADED or response.error in _NO_ANSWER:
            self.allowed = max(1.0, self.allowed / 2)
        wait = retry_after(response)
        if wait is not None:
            self.pause_until = max(self.pause_until, loop_time + wait)

    def remember(
        self, failures: bytes | None, since: bytes | None, paused_until: bytes | None, loop_time: float
    ) -> None:
        """Takes up what an earlier worker wrote down."""
        self.failures = int(failures or 0)
        self.failing_since = float(since) if since else None
        if paused_until:
            self.pause_until = loop_time + float(paused_until) - time.time()

    def paused_until(self, wall: float, loop_time: float) -> str:
        """The wall clock's time until which the target asked us to wait; empty when it doesn't."""
        return f"{wall + self.pause_until - loop_time:.3f}" if self.pause_until > loop_time else ""

    def given_up(self, wall: float) -> bool:
        """Whether it has failed for so long that it is to be disabled."""
        return self.failing_since is not None and wall - self.failing_since > DISABLE_AFTER


def retry_after(response: Response) -> float | None:
    """Seconds that a 429 or 503 asks us to wait; None where it doesn't."""
    value = response.headers.get("retry-after", "") if response.status in _OVERLOADED else ""
    try:
        return min(max(0.0, float(value)), MAX_RETRY_AFTER)
    except ValueError:
        return None


def next_attempt(schedule: Sequence[float], step: int, response: Response) -> tuple[float, int] | None:
    """In how many seconds to try again and the step then; None when the schedule is used up.

    `step` counts the waits of the schedule that are used up. Waiting because the target asks for it uses up none.
    """
    wait = retry_after(response)
    if wait is not None:
        return max(wait, 0.1), step
    if step >= len(schedule):
        return None
    return schedule[step] * uniform(1, 1 + _JITTER), step + 1
