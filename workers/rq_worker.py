"""The process that runs RQ's jobs, a child of the worker. It outlives the store's restarts."""

from __future__ import annotations

import logging
import signal
import sys
import time

import redis
from redis.exceptions import RedisError
from rq import SimpleWorker

from app.log import configure
from app.settings import current
from app.store.connection import connection_arguments
from app.store.jobs import queue

log = logging.getLogger("relay.jobs")

_AGAIN_SECONDS = 0.5


class _Worker(SimpleWorker):
    """RQ's worker without a fork for each job: ours are short, and lost ones are found again."""

    max_connection_wait_time = 1.0  # RQ's own patience grows to a minute while the store is away


def main() -> int:
    """Until SIGTERM."""
    settings = current()
    configure(settings.log_level)
    logging.getLogger("rq").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until RQ sets its own
    while True:
        try:
            connection = redis.Redis(**connection_arguments(settings, socket_connect_timeout=1.0))
            worker = _Worker([queue(connection)], connection=connection)
            worker.work(logging_level="WARNING", with_scheduler=False)
            return 0  # it was told to stop
        except (RedisError, OSError) as error:
            log.warning("RQ waits for the store (%s)", type(error).__name__)
            time.sleep(_AGAIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
