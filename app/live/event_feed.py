"""Reads the stored events once for a whole process, and passes them to all listeners.

With a connection for each listener, there would be too few left for callbacks.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from app.base.loops import LOOPS
from app.store import Store
from app.store.events.places import is_after
from app.store.events.reading import Followed
from app.store.server.connection import note_failure

_LOOP = "event stream"
_STALLED_SECONDS = 60.0
_BLOCK_MS = 1_000
# Events that a listener may be behind. A slower one is disconnected, and connects again from its last event.
_BACKLOG = 5_000


class EventFeed:
    """Passes events to the listeners of a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._listeners: set[queue.Queue[Followed]] = set()
        self._running = False

    def listen(self, after: dict[int, str], beat_seconds: float) -> Iterator[dict[str, Any] | None]:
        """Yield events after the given entries (shard → entry), oldest first, without end; None for a heartbeat.

        Ends if the listener is too slow.
        """
        events: queue.Queue[Followed] = queue.Queue(_BACKLOG)
        self._add(events)
        try:
            for found in self._store.events.history(after):
                after[found.shard] = found.entry
                yield found.event
            while events in self._listeners:
                try:
                    found = events.get(timeout=beat_seconds)
                except queue.Empty:
                    yield None
                    continue
                if is_after(found.entry, after.get(found.shard, "0-0")):
                    yield found.event
        finally:
            with self._lock:
                self._listeners.discard(events)

    def _add(self, events: queue.Queue[Followed]) -> None:
        """Add a listener, and start reading if nobody does. Raises redis errors; the next listener tries again."""
        with self._lock:
            if self._running:
                self._listeners.add(events)
                return
        # Read before the listener is added: events in between are read as history.
        position = self._store.events.last_entries()
        with self._lock:
            if not self._running:
                threading.Thread(
                    target=self._follow, args=(position,), name="event feed", daemon=True
                ).start()
                self._running = True  # not before: if it didn't start, all streams would stay silent
            self._listeners.add(events)

    def _follow(self, position: dict[int, str]) -> None:
        """Read events until nobody listens."""
        loop = LOOPS.get(_LOOP, _STALLED_SECONDS)
        try:
            while self._is_wanted():
                try:
                    for event in self._store.events.follow(position, _BLOCK_MS):
                        with self._lock:
                            self._hand_out(event)
                    loop.worked()
                except Exception as error:
                    note_failure(loop, error)
                    time.sleep(_BLOCK_MS / 1_000)
        finally:
            self._end()

    def _is_wanted(self) -> bool:
        """Return whether somebody listens; if not, the next listener starts again."""
        with self._lock:
            self._running = bool(self._listeners)
            return self._running

    def _end(self) -> None:
        LOOPS.end(_LOOP)
        with self._lock:
            if self._running:  # stopped from outside: listeners are disconnected
                self._running = False
                self._listeners.clear()

    def _hand_out(self, event: Followed) -> None:
        for listener in list(self._listeners):
            try:
                listener.put_nowait(event)
            except queue.Full:
                self._listeners.discard(listener)
