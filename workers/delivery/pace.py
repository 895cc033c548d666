"""The pace of deliveries to a target, and when the target counts as down. Pure; times are in seconds.

Additive increase, multiplicative decrease: the number in flight is halved when the target is overloaded, and grows by
one for every round that succeeds. After DOWN_AFTER failures in a row, a target is down: only due retries are sent, one
at a time, so that a backlog neither uses up its attempts nor disturbs others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.delivery.retry_schedule import MAX_RETRY_AFTER, OVERLOADED, retry_after
from workers.http.messages import Response

DOWN_AFTER = 10  # failures in a row
DISABLE_AFTER = 5 * 86_400.0
_MOST_UNSEEN = 86_400.0  # between failures in two processes: the clock may have been set in between
_NO_ANSWER = ("timeout", "connect_failed")
_RELEASE_GAP = 60.0  # between two releases


@dataclass(slots=True)
class Pace:
    """The pace of one target."""

    most: int
    allowed: float = 0.0
    failures: int = 0  # in a row
    failing_since: float | None = None  # wall clock
    failing_for: float = 0.0  # by the monotonic clock
    failed_at: float | None = None  # loop time
    pause_until: float = 0.0  # loop time
    fault_at: float | None = None  # loop time of the last failure since the last release
    release_from: float = 0.0  # loop time

    def __post_init__(self) -> None:
        self.allowed = self.allowed or float(self.most)

    @property
    def down(self) -> bool:
        return self.failures >= DOWN_AFTER

    @property
    def in_flight(self) -> int:
        """Return how many attempts may be under way."""
        return 1 if self.down else max(1, min(self.most, int(self.allowed)))

    def success(self, duration: float, loop_time: float, *, has_waiting: bool) -> bool:
        """Note a successful delivery and its duration. Return whether the waiting retries should be sent now.

        It should after the first success of an attempt that began after a failure, but at most once a minute.
        """
        was_down = self.down
        came_back = was_down or (self.fault_at is not None and loop_time - duration >= self.fault_at)
        self.failures, self.failing_since, self.failing_for, self.failed_at = 0, None, 0.0, None
        if was_down:
            self.allowed = max(1.0, self.most / 2)
        elif self.allowed < self.most:
            self.allowed = min(float(self.most), self.allowed + 1 / max(1.0, self.allowed))
        if not (came_back and has_waiting) or (not was_down and loop_time < self.release_from):
            return False
        self.fault_at, self.release_from = None, loop_time + _RELEASE_GAP
        return True

    def failure(self, response: Response, wall: float, loop_time: float) -> None:
        """Note a failed attempt."""
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = wall
        if self.failed_at is not None:
            self.failing_for += loop_time - self.failed_at
        self.failed_at = self.fault_at = loop_time
        if response.status in OVERLOADED or response.error in _NO_ANSWER:
            self.allowed = max(1.0, self.allowed / 2)
        wait = retry_after(response)
        if wait is not None:
            self.pause_until = max(self.pause_until, loop_time + wait)

    def remember(self, written: Sequence[bytes | None], wall: float, loop_time: float) -> None:
        """Restore what an earlier worker saved: `FAILURES` in app.store.server.keys. Raises ValueError."""
        failures, since, paused_until, failing_for, failed_at = written
        self.failures = int(failures or 0)
        self.failing_since = float(since) if since else None
        if paused_until:
            self.pause_until = loop_time + min(float(paused_until) - wall, MAX_RETRY_AFTER)
        if failed_at:
            self.failing_for = float(failing_for or 0)
            self.failed_at = loop_time - min(max(0.0, wall - float(failed_at)), _MOST_UNSEEN)
        elif self.failing_since is not None:  # saved by a version that saved only this
            self.failed_at = loop_time - max(0.0, wall - self.failing_since)

    def written(self, wall: float, loop_time: float) -> list[str]:
        """Return `FAILURES` for a later worker, with "" for missing values."""
        paused = f"{wall + self.pause_until - loop_time:.3f}" if self.pause_until > loop_time else ""
        if self.failed_at is None:
            return [str(self.failures), "", paused, "", ""]
        failed_at = wall + self.failed_at - loop_time
        return [
            str(self.failures),
            repr(self.failing_since),
            paused,
            f"{self.failing_for:.3f}",
            f"{failed_at:.3f}",
        ]

    @property
    def given_up(self) -> bool:
        """Return whether the target has failed for so long that it should be disabled."""
        return self.failing_for > DISABLE_AFTER
