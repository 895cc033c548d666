"""RQ still works as app/store/rq_internals.py expects."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rq.job
import rq.queue
import rq.registry
from rq import Queue, SimpleWorker
from rq.exceptions import NoSuchJobError, StopRequested
from rq.serializers import JSONSerializer

from app.store.rq_internals import KEPT, CallingJob, CheckedJob, Worker, put_into_queue
from tests.internals.library import Library
from tests.stores import Server

RQ = Library("rq", "app/store/rq_internals.py")
PASSWORD = "made-up-password-of-a-store"
_called: list[Any] = []


class _Signed(CheckedJob):
    """A job whose signature is a fixed word."""

    error: Exception | None = None

    def signed(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "signature": "made-up"}

    def check_signature(self, fields: dict[str, Any]) -> None:
        if self.error is not None:
            raise self.error
        if fields.get("signature") != b"made-up":
            raise self.refused("not signed")

    def may_be_run(self) -> bool:
        return bool(self.func_name == "work")

    def refused(self, reason: str) -> NoSuchJobError:
        self.connection.delete(self.key)
        return NoSuchJobError(reason)


class _Job(CallingJob, _Signed):
    def function(self, name: str) -> Callable[..., None]:
        return {"work": _called.append}[name]


class _Worker(Worker):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.signs_of_life = 0
        self.stops = 0
        self.troubles: list[Exception] = []
        super().__init__(*arguments, **named)

    def has_run_for(self, seconds: float) -> None:
        self.signs_of_life += 1

    def is_told_to_stop(self) -> None:
        self.stops += 1

    def could_not_tidy_up(self, error: Exception) -> None:
        self.troubles.append(error)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("store"), "one", password=PASSWORD)
    yield made
    made.kill()


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    made = server.client()
    made.flushall()
    _called.clear()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)


def queue(client: Any, kind: Any = _Job) -> Queue:
    return Queue("made-up", connection=client, job_class=kind, serializer=JSONSerializer)


def worker(client: Any, kind: Any = _Job) -> _Worker:
    return _Worker(
        [queue(client, kind)], connection=client, job_class=kind, serializer=JSONSerializer, name="made-up"
    )


def test_the_hooks_of_jobs_and_workers_have_the_expected_parameters() -> None:
    job = rq.job.Job
    RQ.takes(job.__init__, "self", "id", "connection", "serializer")
    RQ.takes(job.to_dict, "self", "include_meta", "include_result", more=True)
    RQ.takes(job.restore, "self", "raw_data")
    RQ.takes(job.refresh, "self")
    RQ.takes(job.fetch, "id", "connection", "serializer")
    RQ.takes(job.fetch_many, "job_ids", "connection", "serializer")
    RQ.has(job, "func", "func_name", "instance", "kwargs", "key")
    RQ.has(Queue, "_enqueue_job", "intermediate_queue", "scheduled_job_registry")
    RQ.takes(Queue._enqueue_job, "self", "job", "pipeline", more=True)
    RQ.takes(rq.registry.clean_registries, "queue", "exception_handlers", more=True)
    RQ.takes(SimpleWorker.register_birth, "self")
    RQ.takes(SimpleWorker.request_stop, "self", "signum", "frame")
    RQ.takes(SimpleWorker.subscribe, "self")
    RQ.takes(SimpleWorker.run_maintenance_tasks, "self")
    RQ.has(SimpleWorker, "dequeue_timeout", "max_connection_wait_time", "heartbeat", "execute_job")
    RQ.has(SimpleWorker, "dequeue_job_and_maintain_ttl")


def test_the_relays_hooks_override_nothing_by_mistake() -> None:
    ours = {"signed", "check_signature", "may_be_run", "refused", "function"}
    RQ.holds(not ours & set(dir(rq.job.Job)), "Job has no method named like a hook of the relay's")
    ours = {"has_run_for", "is_told_to_stop", "could_not_tidy_up", "failure", "seconds_to_wait", "_began_at"}
    RQ.holds(not ours & set(dir(SimpleWorker)), "SimpleWorker has nothing named like a hook of the relay's")


def test_only_the_needed_fields_of_a_job_are_stored_and_it_runs(client: Any) -> None:
    job = queue(client).enqueue("work", args=(7,), description="work", result_ttl=0)
    stored = {name.decode() for name in client.hgetall(job.key)}
    RQ.holds(
        stored <= KEPT | {"signature"} and {"data", "origin", "status", "signature"} <= stored,
        f"a job is stored as `to_dict` says, by these names ({sorted(stored)})",
    )
    made = worker(client)
    made.work(burst=True, logging_level="CRITICAL")
    RQ.holds(_called == [7], "a worker reads a job by `restore` and calls its `func`")
    RQ.holds(made.signs_of_life >= 2, "a worker shows that it is there by `heartbeat`")
    RQ.holds(made.failure is None, "a job that succeeds raises nothing in `execute_job`")
    RQ.holds(client.pubsub_channels() == [], "a worker takes commands from others only after `subscribe`")
    RQ.holds(made.dequeue_timeout == made.seconds_to_wait, "a worker waits for `dequeue_timeout`")


def test_a_foreign_job_is_not_read(client: Any) -> None:
    for function, fields in (("work", {"signature": "another"}), ("os.getpid", {})):
        job = queue(client).enqueue(function)
        client.hset(job.key, mapping={"a": "b", **fields})
        worker(client).work(burst=True, logging_level="CRITICAL")
        RQ.holds(not client.exists(job.key), "a worker drops a job whose `restore` raises NoSuchJobError")
    client.set("rq:job:text", "no hash")
    with pytest.raises(NoSuchJobError):
        _Job.fetch("text", client)
    assert _Job.fetch_many(["nobody", "no/id"], client) == [None, None]
    assert _called == []


def test_an_error_that_ends_a_worker_is_kept(client: Any) -> None:
    class Broken(_Job):
        error = RuntimeError("made up")

    queue(client, _Job).enqueue("work")
    made = worker(client, Broken)
    made.work(burst=True, logging_level="CRITICAL")
    RQ.holds(
        isinstance(made.failure, RuntimeError), "`work` calls `dequeue_job_and_maintain_ttl` to read jobs"
    )


def test_a_scheduled_job_is_queued_with_the_pipeline(client: Any) -> None:
    jobs = queue(client)
    job = jobs.create_job("work", args=(1,))
    job.save()
    with client.pipeline() as pipeline:
        put_into_queue(jobs, job, pipeline)
        RQ.holds(jobs.job_ids == [], "`_enqueue_job` writes into the pipeline only")
        pipeline.execute()
    RQ.holds(jobs.job_ids == [job.id], "`_enqueue_job` puts a job into the queue")


def test_maintenance_is_done_by_the_relay_at_intervals(client: Any) -> None:
    made = worker(client)
    jobs = made.queues[0]
    client.rpush(jobs.intermediate_queue.key, "left-by-a-killed-worker")
    RQ.holds(made.should_run_maintenance_tasks, "a worker that has just begun tidies up")
    made.run_maintenance_tasks()
    RQ.holds(not client.exists(jobs.intermediate_queue.key), "`intermediate_queue` has its key in `key`")
    RQ.holds(not made.should_run_maintenance_tasks, "`last_cleaned_at` says when a worker tidied up")
    client.set(jobs.started_job_registry.key, "no sorted set")
    made.run_maintenance_tasks()
    RQ.holds(len(made.troubles) == 1, "`clean_registries` raises what it can't tidy up")


def test_a_signal_ends_waiting_for_a_job(client: Any) -> None:
    made = worker(client)
    made.register_birth()
    with pytest.raises(StopRequested):
        made.request_stop(signal.SIGTERM, None)
    assert made.stops == 1


def test_a_signal_ends_waiting_while_the_store_is_away(tmp_path: Any) -> None:
    own = Server(tmp_path, "own", password=PASSWORD)
    try:
        made = worker(own.client())
    finally:
        own.kill()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with pytest.raises(StopRequested):
            made.request_stop(signal.SIGTERM, None)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
