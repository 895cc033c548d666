"""Counters that a flood would increase often. They are counted in the process, and written at most once a second."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from app.store.server.connection import Connection
from app.store.server.keys import COUNTERS

_WRITE_SECONDS = 1.0


class Counts:
    """The counts of one process that aren't written yet."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._waiting: Counter[str] = Counter()
        self._written_at = clock() - _WRITE_SECONDS

    def add(self, name: str) -> None:
        """Count one more. The first in a second is written at once. If this raises redis errors, it is kept."""
        self._waiting[name] += 1
        if self._clock() - self._written_at >= _WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Add the waiting counts to the store's counters. If this raises redis errors, they are kept."""
        self._written_at = self._clock()
        writing, self._waiting = self._waiting, Counter()
        if not writing:
            return
        try:
            pipeline = self._connection.redis.pipeline(transaction=False)
            for name, count in writing.items():
                pipeline.hincrby(COUNTERS, name, count)
            pipeline.execute()
        except BaseException:
            self._waiting.update(writing)
            raise
