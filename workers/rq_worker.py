"""The process that runs RQ's jobs and the chores, a child of the worker. It outlives the store's restarts."""

from __future__ import annotations

import logging
import signal
import sys
import time
from types import FrameType

from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested

from app.log import configure
from app.settings import current
from app.store import Store
from app.store.connection import make_rq_client
from app.store.jobs import queue
from workers.chores import Chores

log = logging.getLogger("relay.jobs")

_AGAIN_SECONDS = 0.5


class _Worker(SimpleWorker):
    """RQ's worker without a fork for each job: ours are short, and lost ones are found again."""

    max_connection_wait_time = 1.0  # RQ's own patience grows to a minute while the store is away
    told_to_stop = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """SIGTERM. RQ writes down that it stops, which must not keep it from stopping while the store is away."""
        _Worker.told_to_stop = True
        try:
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            raise StopRequested from None


def main() -> int:
    """Until SIGTERM."""
    settings = current()
    configure(settings.log_level, settings.log_format)
    logging.getLogger("rq").setLevel(logging.WARNING)
    Chores(Store(settings)).start()
    while not _Worker.told_to_stop:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until RQ sets its own
        try:
            connection = make_rq_client(settings)
            worker = _Worker([queue(connection)], connection=connection)
            worker.work(logging_level="WARNING", with_scheduler=False)
            return 0  # it was told to stop
        except (RedisError, OSError) as error:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            log.warning("RQ waits for the store (%s)", type(error).__name__)
            time.sleep(0 if _Worker.told_to_stop else _AGAIN_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
