"""Follows the stored events once for a whole process, and hands them to everybody who listens.

A listener of its own connection each would use up the connections that callbacks need.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import redis

from app.store import Store
from app.store.events import Followed, is_after

log = logging.getLogger("relay.follower")

_BLOCK_MS = 1_000
# Events that a listener may be behind: a slower one is cut off, and comes again from its last.
_BACKLOG = 5_000


class Follower:
    """Hands events to the listeners of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._listeners: set[queue.Queue[Followed]] = set()
        self._running = False

    def listen(self, after: dict[int, str], beat_seconds: float) -> Iterator[dict[str, Any] | None]:
        """Events after the given entries (shard → entry), oldest first, without end; None for a heartbeat.

        Ends for a listener that is too slow.
        """
        events: queue.Queue[Followed] = queue.Queue(_BACKLOG)
        with self._lock:
            if not self._running:
                self._running = True
                # From before the listener is added: what comes in between is read as history.
                position = self._store.events.last_entries()
                threading.Thread(target=self._follow, args=(position,), name="follower", daemon=True).start()
            self._listeners.add(events)
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

    def _follow(self, position: dict[int, str]) -> None:
        """Until nobody listens."""
        while True:
            try:
                for event in self._store.events.follow(position, _BLOCK_MS):
                    with self._lock:
                        self._hand_out(event)
            except (redis.RedisError, OSError) as error:
                log.debug("waiting for the store (%s)", type(error).__name__)
                time.sleep(_BLOCK_MS / 1_000)
            except Exception:
                # Were the thread to end, all streams of this process would be silent from then on.
                log.exception("following the events stumbled")
                time.sleep(_BLOCK_MS / 1_000)
            with self._lock:
                if not self._listeners:
                    self._running = False
                    return

    def _hand_out(self, event: Followed) -> None:
        for listener in list(self._listeners):
            try:
                listener.put_nowait(event)
            except queue.Full:
                self._listeners.discard(listener)
