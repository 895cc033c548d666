"""Writes the archive in a thread of RQ's process, so that a slow database delays neither jobs nor attendance."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import redis

from app.archive import ArchiveAway, ArchiveRefused
from app.base.loops import LOOPS
from app.base.throttle import OnceAMinute
from app.store import Store
from app.store.server.connection import note_failure

log = logging.getLogger("relay.archive")

_EVERY_SECONDS = 2.0
_AGAIN_SECONDS = 15.0  # after a failure
_NICE = 19  # lowest priority
_STALLED_SECONDS = 900.0


class Archiving:
    """The thread."""

    def __init__(self, store: Store, is_ours: Callable[[], bool]) -> None:
        """`is_ours` returns whether this process does the background work at present."""
        self._store = store
        self._is_ours = is_ours
        self._once = OnceAMinute()

    def start(self) -> None:
        """Start the thread, which runs as long as the process. Without an archive, nothing starts."""
        if self._store.past.archive is not None:
            self._store.past.archive.load()
            threading.Thread(target=self._run, name="archive", daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):  # if there isn't enough CPU time, deliveries and callbacks come first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            time.sleep(self.turn())

    def turn(self) -> float:
        """Archive what is new; return how many seconds to wait."""
        loop = LOOPS.get("archive", _STALLED_SECONDS)
        try:
            busy = self._is_ours() and self._store.archiver.advance() > 0
        except (ArchiveAway, ArchiveRefused) as error:
            self._report(error)
            loop.waited()
            return _AGAIN_SECONDS
        except Exception as error:
            note_failure(loop, error)
            return _AGAIN_SECONDS
        loop.worked()
        return 0.1 if busy else _EVERY_SECONDS

    def _report(self, error: Exception) -> None:
        if self._once.may_say():
            log.error("the archive can't be written, and will be tried again: %s", error)
        with suppress(redis.RedisError, OSError):
            self._store.archive_reports.failed(str(error))
