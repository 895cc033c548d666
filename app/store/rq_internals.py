"""The internals of RQ that the relay uses, which RQ may change. No other module uses them.

`tests/internals/test_rq_internals.py` fails if a new version of RQ has changed one of them.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Self

import redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import NoSuchJobError, StopRequested
from rq.job import Job
from rq.registry import clean_registries
from rq.serializers import JSONSerializer

from app.store.server.redis_internals import error_code

# The fields of a job that are stored and read. Callbacks, webhooks, dependencies, repeats and results aren't.
KEPT = frozenset(
    (
        *("data", "origin", "status", "description", "worker_name", "timeout", "result_ttl", "failure_ttl"),
        *("created_at", "enqueued_at", "started_at", "ended_at", "last_heartbeat"),
    )
)


class CheckedJob(Job, ABC):
    """A job of which only KEPT is stored. A subclass signs it, and checks the signature before anything is decoded."""

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:
        super().__init__(id, connection, JSONSerializer)

    @abstractmethod
    def signed(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return what is stored for these fields."""

    @abstractmethod
    def check_signature(self, fields: dict[str, Any]) -> None:
        """Check the stored fields, undecoded. Raises NoSuchJobError if they aren't ours."""

    @abstractmethod
    def may_be_run(self) -> bool:
        """Return whether the decoded job only calls what it may."""

    @abstractmethod
    def refused(self, reason: str) -> NoSuchJobError:
        """Return the error for a job that can't be used and is removed."""

    # What RQ calls

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        """Return the fields that RQ stores, signed."""
        found = super().to_dict(include_meta=False, include_result=False)
        return self.signed({name: value for name, value in found.items() if name in KEPT})

    def restore(self, raw_data: Any) -> None:
        """Read the stored fields. If it isn't one of our jobs, remove it and raise NoSuchJobError."""
        fields = {name.decode(errors="replace"): value for name, value in raw_data.items()}
        self.check_signature(fields)
        try:
            super().restore({name: value for name, value in fields.items() if name in KEPT})
            may_be_run = self.may_be_run()
        except Exception as error:  # a signed job that was changed: RQ's own state and times aren't signed
            raise self.refused(f"it can't be read ({type(error).__name__})") from None
        if not may_be_run:
            raise self.refused("it names no function of the relay")

    def refresh(self) -> None:
        """Read the job from Redis. Raises NoSuchJobError."""
        try:
            super().refresh()  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            if "WRONGTYPE" not in f"{error_code(error)} {error}":
                raise
            raise self.refused("it isn't a hash") from None

    @classmethod
    def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Self:
        """Return the job. Also raises NoSuchJobError for an invalid ID."""
        try:
            job = cls(id.partition(":")[0], connection=connection)
        except (TypeError, ValueError):
            raise NoSuchJobError(f"there is no job with the ID {id[:60]!r}") from None
        job.refresh()
        return job

    @classmethod
    def fetch_many(  # type: ignore[override]
        cls, job_ids: Iterable[str], connection: Any, serializer: Any = None
    ) -> list[Self | None]:
        """Return jobs one by one, so that a refused one doesn't affect the others; None for missing ones."""
        found: list[Self | None] = []
        for job_id in job_ids:
            try:
                found.append(cls.fetch(job_id, connection))
            except NoSuchJobError:
                found.append(None)
        return found


class CallingJob(ABC):
    """A mixin for a CheckedJob that can be run. RQ's own would import whatever function it names."""

    func_name: str | None

    @abstractmethod
    def function(self, name: str) -> Callable[..., None]:
        """Return the function behind a name. Raises KeyError."""

    @property
    def func(self) -> Callable[..., None]:
        """Return the function that RQ calls to run the job."""
        return self.function(self.func_name or "")


def put_into_queue(queue: Queue, job: Job, pipeline: Any) -> None:
    """Move a scheduled job into the queue, once the pipeline is executed."""
    queue._enqueue_job(job, pipeline=pipeline)


class Worker(SimpleWorker):
    """RQ's worker without a fork for each job, because our jobs are short, and lost ones are found again.

    `work` raises nothing. The error that ended it is in `failure`.
    """

    max_connection_wait_time = 1.0  # RQ would wait up to a minute while the store is away
    seconds_to_wait = 15  # the longest wait for a job before the next heartbeat
    failure: Exception | None = None
    _began_at = 0.0

    def has_run_for(self, seconds: float) -> None:
        """Called with each heartbeat, with the time since which the worker has been running."""

    def is_told_to_stop(self) -> None:
        """Called at SIGTERM, before anything else."""

    def could_not_tidy_up(self, error: Exception) -> None:
        """Called if RQ's registries can't be cleaned up. It may raise the error."""
        raise error

    # What RQ calls

    @property
    def dequeue_timeout(self) -> int:
        """The seconds that RQ waits for a job before its next heartbeat."""
        return self.seconds_to_wait

    def register_birth(self) -> None:
        """Begin. Raises redis errors."""
        self._began_at = time.monotonic()
        super().register_birth()  # type: ignore[no-untyped-call]

    def heartbeat(self, *arguments: Any, **named: Any) -> None:
        """Send a heartbeat."""
        super().heartbeat(*arguments, **named)
        self.has_run_for(time.monotonic() - self._began_at)

    def dequeue_job_and_maintain_ttl(self, *arguments: Any, **named: Any) -> Any:
        """Wait for a job. Errors are kept, because RQ only logs them."""
        with self._kept_failure():
            return super().dequeue_job_and_maintain_ttl(*arguments, **named)

    def execute_job(self, *arguments: Any, **named: Any) -> None:
        """Run a job. Errors outside of the job itself are kept."""
        with self._kept_failure():
            super().execute_job(*arguments, **named)

    @contextmanager
    def _kept_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failure = error
            raise

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Handle SIGTERM. RQ saves that it is stopping. If the store is away, this must not keep it running."""
        self.is_told_to_stop()
        try:
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            raise StopRequested from None

    def subscribe(self) -> None:
        """Accept no commands from others, because signals are enough."""

    def run_maintenance_tasks(self) -> None:
        """Run RQ's regular cleaning. The unfinished work of a killed worker is found in the store."""
        self.last_cleaned_at = datetime.now(UTC)  # type: ignore[assignment]
        jobs = self.queues[0]
        self.connection.delete(jobs.intermediate_queue.key)
        try:
            clean_registries(jobs, [])
        except Exception as error:
            self.could_not_tidy_up(error)
