"""The process for RQ's jobs, attendance and alerts, a child of the worker. It survives restarts of the store."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError
from rq.serializers import JSONSerializer

from app.base.log import OnceAMinuteFilter, configure
from app.base.loops import LOOPS
from app.settings.table import current
from app.store import Store
from app.store.jobs import SignedJob, queue
from app.store.rq_internals import CallingJob, Worker
from app.store.server.connection import is_away, make_rq_client
from workers.rq.archiving import Archiving
from workers.rq.attendance_and_alerts import Chores
from workers.rq.jobs import RUNS

log = logging.getLogger("relay.jobs")

_AGAIN_SECONDS = 0.5
_WELL_SECONDS = 10.0
_STOP_SECONDS = 10.0  # the supervisor kills after 9
_LOOP = "jobs"


class Ended(Exception):
    """RQ's worker ended unexpectedly; its own log line says why."""


class _Job(CallingJob, SignedJob):
    """A job that can be run."""

    def function(self, name: str) -> Callable[..., None]:
        return RUNS[name]


class _Worker(Worker):
    told_to_stop = False

    def has_run_for(self, seconds: float) -> None:
        """Note that the loop is healthy after it has run for a while."""
        if seconds > _WELL_SECONDS:
            LOOPS.get(_LOOP).worked()

    def is_told_to_stop(self) -> None:
        _Worker.told_to_stop = True
        _end_at_last()

    def could_not_tidy_up(self, error: Exception) -> None:
        if not isinstance(error, RedisError | OSError):
            log.error("RQ's registries can't be tidied up", exc_info=error)
        elif is_away(error):
            raise error
        else:
            log.warning("RQ's registries can't be tidied up (%s)", error)


def _end(*_: object) -> None:
    """End at SIGTERM in any state. While RQ is working, it has its own handler."""
    _Worker.told_to_stop = True
    _end_at_last()
    sys.exit(0)


def _end_at_last() -> None:
    """End the process soon, even if something catches the exception: the supervisor that would kill it may be gone."""

    def end() -> None:
        log.warning("the jobs did not end in time; the next worker will finish their work")
        os._exit(0)

    timer = threading.Timer(_STOP_SECONDS, end)
    timer.daemon = True
    timer.start()


def _await_store(store: Store) -> None:
    """Wait until the store is there and may be used with these settings."""
    while True:
        try:
            if store.admission.look():
                return
        except (RedisError, OSError) as error:
            log.debug("RQ's jobs are waiting for the store (%s)", type(error).__name__)
        time.sleep(_AGAIN_SECONDS)


def main() -> int:
    """Until SIGTERM."""
    signal.signal(signal.SIGTERM, _end)
    settings = current()
    configure(settings.log_level, settings.log_format)
    logging.getLogger("rq").setLevel(logging.WARNING)
    # It tries once a second.
    logging.getLogger("rq.worker").addFilter(OnceAMinuteFilter("could not connect to Redis"))
    log.addFilter(OnceAMinuteFilter("RQ is waiting for the store"))
    store = Store(settings)
    _await_store(store)
    LOOPS.start(store.loop_reports.write)
    chores = Chores(store)
    chores.start()
    Archiving(store, chores.is_in_charge).start()
    while not _Worker.told_to_stop:
        try:
            jobs = queue(store.connection, _Job, make_rq_client(settings))
            worker = _Worker(
                [jobs], connection=jobs.connection, job_class=jobs.job_class, serializer=JSONSerializer
            )
            worker.work(logging_level="WARNING", with_scheduler=False)
            failure: Exception = worker.failure or Ended()
        except Exception as error:
            failure = error
        signal.signal(signal.SIGTERM, _end)
        if not _Worker.told_to_stop:
            _note(failure)
            time.sleep(_AGAIN_SECONDS)
    return 0


def _note(failure: Exception) -> None:
    loop = LOOPS.get(_LOOP)
    if is_away(failure):
        log.warning("RQ is waiting for the store (%s)", type(failure).__name__)
        loop.waited()
    else:
        loop.failed(failure)


if __name__ == "__main__":
    sys.exit(main())
