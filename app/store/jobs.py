"""RQ's queue: the relay's slow tasks, as jobs that nobody without the secret key can create.

RQ's own jobs are pickled and name the function to call, so anybody who can write to Redis could run any code. The
relay's jobs are a name from `FUNCTIONS` and JSON arguments, signed with a key derived from the secret key. All other
jobs are refused before any part is decoded. `workers/rq/jobs.py` has the functions behind the names.
"""

from __future__ import annotations

import logging
import time
import zlib
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer

from app.base.throttle import OnceAMinute
from app.store.rq_internals import CheckedJob, put_into_queue
from app.store.server.connection import Connection
from app.store.server.keys import COUNTERS

log = logging.getLogger("relay.jobs")

QUEUE = "relay-jobs"
FUNCTIONS = frozenset(
    ("release_retries", "poll_command", "advance_replay", "release_test", "check_public_url", "upkeep")
)
REFUSED = "jobs_refused"  # name of a counter

_PURPOSE = "job"
_KEEP_FAILED_SECONDS = 60
_TIMEOUT_SECONDS = 600
_SIGNED = ("origin", "data", "timeout", "result_ttl", "failure_ttl")


class SignedJob(CheckedJob):
    """A job that is only read if the relay created it. `queue` sets `relay`."""

    relay: ClassVar[Connection]
    once: ClassVar[OnceAMinute] = OnceAMinute()

    def signed(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "signature": self.relay.vault.signature(_PURPOSE, self._text_to_sign(fields))}

    def _text_to_sign(self, fields: dict[str, Any]) -> bytes:
        parts = [self.id.encode(), *(_bytes(fields.get(name, b"")) for name in _SIGNED)]
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    def check_signature(self, fields: dict[str, Any]) -> None:
        signature = fields.get("signature", b"").decode(errors="replace")
        if not self.relay.vault.is_signature(_PURPOSE, self._text_to_sign(fields), signature):
            raise self.refused("it isn't signed with this relay's secret key")

    def may_be_run(self) -> bool:
        return self.func_name in FUNCTIONS and self.instance is None and not self.kwargs

    def refused(self, reason: str) -> NoSuchJobError:
        self.connection.delete(self.key)
        refuse(self.relay, self.id, reason)
        return NoSuchJobError(f"job {self.id} was refused: {reason}")


def refuse(relay: Connection, job_id: str, reason: str) -> None:
    """Count a job that was refused, and log this at most once a minute."""
    relay.redis.hincrby(COUNTERS, REFUSED, 1)
    if SignedJob.once.may_say():
        log.error(
            "job %r in Redis was refused and removed: %s. Another program is writing to Redis: change the Redis "
            "password.",
            job_id[:60],
            reason,
        )


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def queue(connection: Connection, job_class: type[SignedJob] = SignedJob, client: Any = None) -> Queue:
    """Return the relay's queue, which only has signed jobs."""
    kind: Any = job_class
    return Queue(
        QUEUE,
        connection=connection.rq if client is None else client,
        default_timeout=_TIMEOUT_SECONDS,
        job_class=_bound(kind, connection),
        serializer=JSONSerializer,
    )


@lru_cache
def _bound(job_class: Any, connection: Connection) -> type[SignedJob]:
    """Return a class of jobs bound to the relay's key, because RQ creates jobs with only its own arguments."""
    kind: type[SignedJob] = type(job_class.__name__, (job_class,), {"relay": connection})
    return kind


def enqueue(connection: Connection, function: str, *arguments: Any, timeout: int = _TIMEOUT_SECONDS) -> None:
    """Queue a job that runs one of FUNCTIONS soon."""
    queue(connection).enqueue(
        function,
        args=arguments,
        description=function,
        job_timeout=timeout,
        result_ttl=0,
        failure_ttl=_KEEP_FAILED_SECONDS,
    )


def enqueue_at(
    connection: Connection, at: datetime, function: str, *arguments: Any, job_id: str | None = None
) -> None:
    """Schedule a job that runs one of FUNCTIONS at that time, to the second."""
    queue(connection).enqueue_at(
        at,
        function,
        args=arguments,
        description=function,
        job_id=job_id,
        job_timeout=_TIMEOUT_SECONDS,
        result_ttl=0,
        failure_ttl=_KEEP_FAILED_SECONDS,
    )


def enqueue_due(connection: Connection) -> None:
    """Move scheduled jobs whose time has come into the queue, and remove those that the relay didn't create."""
    jobs = queue(connection)
    registry = jobs.scheduled_job_registry
    names = registry.connection.zrangebyscore(registry.key, 0, time.time(), start=0, num=1_000)
    for name in names:
        try:
            job = jobs.job_class.fetch(name.decode(errors="replace"), jobs.connection)
        except NoSuchJobError:
            registry.connection.zrem(registry.key, name)
            continue
        with jobs.connection.pipeline() as pipeline:
            put_into_queue(jobs, job, pipeline)
            pipeline.zrem(registry.key, name)
            pipeline.execute()


def decompressed(data: bytes, most: int) -> bytes:
    """Decompress a job's data as RQ stores it, with zlib or not. Raises ValueError if longer than `most`."""
    decompressor = zlib.decompressobj()
    try:
        plain, rest = decompressor.decompress(data, most), decompressor.unconsumed_tail
    except zlib.error:
        plain, rest = data[:most], data[most:]
    if rest:
        raise ValueError("its data is too long")
    return plain
