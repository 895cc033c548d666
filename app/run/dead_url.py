"""Finds out whether a tunnel's URL no longer works, although the tunnel's program is still running."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import redis

from app.store.upkeep.public_url_reports import PublicUrlReport

_LOOK_SECONDS = 10.0
# After that time, another answer than the relay's means that the provider no longer knows the tunnel.
_ANSWERED_SECONDS = 300.0
# Without any answer, this machine may be offline. Then a tunnel often comes back with its URL.
_UNANSWERED_SECONDS = 1_800.0
_PAUSE_SECONDS = 600.0  # before a second restart; doubled each time
_LONGEST_PAUSE_SECONDS = 7_200.0


class DeadUrl:
    """Decides by the worker's checks of the public URL whether a tunnel must be started again."""

    def __init__(
        self,
        read: Callable[[], PublicUrlReport | None],
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` returns the latest check; it may raise redis errors."""
        self._read, self._now, self._monotonic = read, now, monotonic
        self._look_at = 0.0
        self._not_before = 0.0
        self._pause = _PAUSE_SECONDS

    def is_dead(self, url: str) -> bool:
        """Return whether the URL hasn't worked for a long time. Call this several times a second.

        If it returns True, it returns False for the next ten minutes, and for longer each time.
        """
        if self._monotonic() < self._look_at:
            return False
        self._look_at = self._monotonic() + _LOOK_SECONDS
        report = None
        with suppress(redis.RedisError, OSError):
            report = self._read()
        if report is None or report.url != url:
            return False
        if report.problem is None or report.failing_since is None or report.heard:
            if report.at > self._now() - _ANSWERED_SECONDS and self._monotonic() >= self._not_before:
                self._pause = _PAUSE_SECONDS
            return False
        lasts = _ANSWERED_SECONDS if report.answered else _UNANSWERED_SECONDS
        if report.at - report.failing_since < lasts or self._monotonic() < self._not_before:
            return False
        self._not_before = self._monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        return True
