"""What goes on beside deliveries, in RQ's process so that it delays none: attendance's index, changed days, alerts.

One worker does it at a time. Should two at once, or should one be killed halfway, no harm is done: everything that is
written is checked against what was there when it was thought of.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import threading
import time
from contextlib import suppress

from redis.exceptions import RedisError

from app.store import Store
from app.store.keys import CHORES

log = logging.getLogger("relay.chores")

_EVERY_SECONDS = 1.0
_LEASE_MS = 5_000
_ALERT_SECONDS = 20.0
_NICE = 19  # only what nobody else wants
_BATCHES = 25  # of punches, before days are published and the lease is renewed


class Chores:
    """A thread of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = secrets.token_hex(8).encode()
        self._alerted = -math.inf

    def start(self) -> None:
        """Begins, for as long as the process lives."""
        threading.Thread(target=self._run, name="chores", daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):  # where there is not enough for all, deliveries and callbacks go first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            busy = False
            try:
                busy = self._is_ours() and self._once()
            except (RedisError, OSError) as error:
                log.debug("the chores wait for the store (%s)", type(error).__name__)
            except Exception:
                log.exception("the chores stumbled")
            time.sleep(0 if busy else _EVERY_SECONDS)

    def _is_ours(self) -> bool:
        """Takes or keeps the lease."""
        client = self._store.connection.redis
        if client.set(CHORES, self._token, nx=True, px=_LEASE_MS):
            return True
        if client.get(CHORES) != self._token:
            return False
        return bool(client.pexpire(CHORES, _LEASE_MS))

    def _once(self) -> bool:
        """Whether there is more to do at once."""
        self._store.unknown_users.note_all_commands()
        if time.monotonic() - self._alerted > _ALERT_SECONDS:
            self._alerted = time.monotonic()
            self._store.alerts.check()
        taken = self._store.attendance_index.catch_up(_BATCHES)
        published = self._store.attendance_changes.publish_due()
        return taken > _BATCHES * 100 or published > 100
