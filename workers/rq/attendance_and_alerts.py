"""Updates the attendance index, and publishes changed days and alerts, in RQ's process so that it delays no
deliveries.

One worker at a time does this. If two do it at once, or if one is killed, no harm is done, because every write checks
that the data it depends on hasn't changed.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from app.base.loops import LOOPS
from app.store import Store
from app.store.server.claims import claim
from app.store.server.connection import note_failure
from app.store.server.keys import CHORES

log = logging.getLogger("relay.chores")

_EVERY_SECONDS = 1.0
_LEASE_SECONDS = 5
_ALERT_SECONDS = 20.0
_NICE = 19  # lowest priority
_STALLED_SECONDS = 600.0  # the first pass over a large store takes a while
_BATCHES = 25  # batches of punches before days are published and the lease is renewed


class Chores:
    """The thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = secrets.token_hex(8).encode()
        self._alerted = -math.inf

    def start(self) -> None:
        """Start the thread, which runs as long as the process."""
        threading.Thread(target=self._run, name="chores", daemon=True).start()

    def is_in_charge(self) -> bool:
        """Return whether this process has the lease. Raises redis errors."""
        return bool(self._store.connection.redis.get(CHORES) == self._token)

    def _run(self) -> None:
        with suppress(OSError):  # if there isn't enough CPU time, deliveries and callbacks come first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            busy = self._turn("chores", lambda: self._is_ours() and self._once(), _STALLED_SECONDS)
            time.sleep(0 if busy else _EVERY_SECONDS)

    def _turn(self, name: str, act: Callable[[], object], stalls_after: float | None = None) -> bool:
        """Run `act`; return whether there is more to do. A failure is noted under this name and stops nothing else."""
        loop = LOOPS.get(name, stalls_after)
        try:
            busy = bool(act())
        except Exception as error:
            note_failure(loop, error)
            return False
        loop.worked()
        return busy

    def _is_ours(self) -> bool:
        """Take or renew the lease; return whether it is ours."""
        client = self._store.connection.redis
        if claim(self._store.connection, CHORES, self._token, seconds=_LEASE_SECONDS):
            return True
        if client.get(CHORES) != self._token:
            return False
        return bool(client.expire(CHORES, _LEASE_SECONDS))

    def _once(self) -> bool:
        """Do everything once; return whether there is more to do at once."""
        store = self._store
        self._turn("chores.commanded users", store.unknown_users.note_all_commands)
        if time.monotonic() - self._alerted > _ALERT_SECONDS:
            self._alerted = time.monotonic()
            self._turn("chores.alerts", store.alerts.check)
        taken = self._turn(
            "chores.attendance", lambda: store.attendance_index.catch_up(_BATCHES) > _BATCHES * 100
        )
        published = self._turn("chores.changed days", lambda: store.attendance_changes.publish_due() > 100)
        return taken or published
