"""Reports about problems of background loops, from all processes (see `app.base.loops`)."""

from __future__ import annotations

import time

import orjson

from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import COUNTERS, LOOPS

LOOP_FAILURES = "loop_failures:"
_KEPT_SECONDS = 60.0  # the reports of ended processes aren't relevant


class LoopReports:
    """The stored reports."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, process: str, troubles: dict[str, str], failures: dict[str, int]) -> None:
        """Replace a process's report, and add its failures to the counters."""
        client = self._connection.redis
        pipeline = client.pipeline(transaction=False)
        if troubles:
            pipeline.hset(LOOPS, process, orjson.dumps({"at": time.time(), "troubles": troubles}))
        else:
            pipeline.hdel(LOOPS, process)
        for name, count in failures.items():
            pipeline.hincrby(COUNTERS, LOOP_FAILURES + name, count)
        pipeline.execute()

    def read(self) -> list[str]:
        """Return a sentence for each loop with a problem in any process, once each."""
        client, found = self._connection.redis, set[str]()
        with left_out("the reports of background loops"):
            for process, stored in client.hgetall(LOOPS).items():
                with left_out("a report of background loops"):
                    report = orjson.loads(stored)
                    if abs(time.time() - report["at"]) > _KEPT_SECONDS:
                        client.hdel(LOOPS, process)
                    else:
                        found.update(report["troubles"].values())
        return sorted(found)
