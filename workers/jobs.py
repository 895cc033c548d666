"""What RQ runs: retries that are due, replays, upkeep. Every job may be lost or run twice without harm.

A failing target has one scheduled job, whatever its backlog: the id of the job says so.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job

from app.settings import current
from app.store import Store
from app.store.connection import rewrite_append_only_files
from app.store.jobs import queue
from app.store.keys import DOUBTED, REWRITTEN, UPKEEP, Shard
from app.store.outcomes import CommandKeys
from app.store.scrub import NotWritten, Scrub
from workers.pace import MAX_RETRY_AFTER

log = logging.getLogger("relay.jobs")

_OVERDUE_MS = 4_000
_OVERDUE_POLL_MS = 15_000
_UPKEEP_SECONDS = 3_600
_REWRITE_SECONDS = 86_000
_DOUBTS = 24  # upkeeps
_SMALL_STREAM = 50_000  # events
_COMMANDS_MS = 2 * 86_400 * 1000
_KEEP_RESULT = 60
_FAR = 1.2  # a retry waits for no longer than its step, and jitter


@cache
def store() -> Store:
    """The store of this worker process."""
    return Store(current())


# Retries


def schedule_retry(
    kept: Store, jobs: Queue, subscription_id: str, shard: int, at_ms: int, before_ms: int = 0
) -> None:
    """Has `release_retries` run at that time, and not at the time before; 0 is no time."""
    # RQ keeps whole seconds, and a job that comes early finds nothing due.
    second, before = math.ceil(at_ms / 1000), math.ceil(before_ms / 1000)
    # With its time: a job that is running can't schedule the next one under its own id.
    name = f"retry-{subscription_id}-{shard}"
    if before not in (0, second):
        _unschedule(jobs, f"{name}-{before}")
    if second:
        jobs.enqueue_at(
            datetime.fromtimestamp(second, UTC),
            release_retries,
            subscription_id,
            shard,
            job_id=f"{name}-{second}",
            result_ttl=0,
            failure_ttl=_KEEP_RESULT,
        )
        # Who replaced it before it was there could not take it away.
        health = Shard(shard).subscription(subscription_id, "health")
        wanted = kept.connection.redis.hget(health, "retry_job_at")
        if wanted is not None and math.ceil(int(wanted) / 1000) != second:
            _unschedule(jobs, f"{name}-{second}")


def _unschedule(jobs: Queue, job_id: str) -> None:
    if jobs.connection.zrem(jobs.scheduled_job_registry.key, job_id):
        jobs.connection.delete(Job.key_for(job_id))


def release_retries(subscription_id: str, shard: int) -> None:
    """Makes due what waits for its retry, and comes again for the next."""
    _release(store(), subscription_id, Shard(shard))


def release_all(kept: Store) -> None:
    """Makes due all that waits for its retry."""
    for subscription_id in kept.subscriptions.ids():
        for shard in kept.connection.shards:
            _release(kept, subscription_id, shard, math.inf)


def _release(kept: Store, subscription_id: str, shard: Shard, upto_ms: float | None = None) -> None:
    upto_ms = int(time.time() * 1000) if upto_ms is None else upto_ms
    following, before = kept.deliveries.release(subscription_id, shard, upto_ms)
    with suppress(RedisError, OSError):  # RQ's server may be another one, and away: the sweep finds it
        schedule_retry(kept, queue(kept.connection.rq), subscription_id, shard.number, following, before)


# Commands that the gateway holds


def schedule_poll(jobs: Queue, device_id: str, command_id: str, at: datetime) -> None:
    """Has a command asked for again at that time."""
    jobs.enqueue_at(
        at,
        poll_command,
        device_id,
        command_id,
        job_id=f"poll-{command_id}-{int(at.timestamp() * 1000)}",  # each poll its own, however soon
        result_ttl=0,
        failure_ttl=_KEEP_RESULT,
    )


def poll_command(device_id: str, command_id: str) -> None:
    """Queues a command that the gateway holds, so that the dispatcher asks for it again."""
    store().commands.ask_again(command_id, device_id)


# Replays


def replay(subscription_id: str, since_ms: int | None, until_ms: int | None) -> int:
    """Delivers stored events that the subscription takes again, oldest first; how many."""
    kept = store()
    subscription = kept.subscriptions.get(subscription_id)
    if subscription is None:
        return 0
    return kept.deliveries.replay_range(subscription, since_ms, until_ms)


def send_test(subscription_id: str, event: dict[str, Any]) -> None:
    """Sends a made-up event to a subscription that is still there."""
    kept = store()
    subscription = kept.subscriptions.get(subscription_id)
    if subscription is not None and subscription.status == "active":
        kept.deliveries.send_test(subscription, event)


# Upkeep


def sweep(kept: Store) -> None:
    """Does what a lost job should have done, samples the counters, and has the upkeep run once an hour."""
    jobs = queue(kept.connection.rq)
    now = int(time.time() * 1000)
    for subscription_id, shard in kept.deliveries.late_retry_jobs(
        kept.subscriptions.ids(), now - _OVERDUE_MS
    ):
        _release(kept, subscription_id, shard)
    latest = now + int(max(*kept.settings.retry_schedule, MAX_RETRY_AFTER) * 1000 * _FAR)
    for subscription_id, shard in kept.deliveries.retries_after(kept.subscriptions.ids(), latest):
        log.warning("a retry of subscription %s was set by a wrong clock; trying now", subscription_id)
        _release(kept, subscription_id, shard, math.inf)
    for device_id, command_id in kept.commands.overdue_polls(now - _OVERDUE_POLL_MS):
        kept.commands.ask_again(command_id, device_id)
    kept.history.sample()
    if kept.connection.redis.set(UPKEEP, "", nx=True, ex=_UPKEEP_SECONDS):
        jobs.enqueue(upkeep, result_ttl=0, failure_ttl=_KEEP_RESULT)


def upkeep() -> None:
    """Removes what is older than the retention, and what subscriptions that are gone left."""
    kept = store()
    remove_older(kept, int((time.time() - kept.settings.retention_days * 86_400) * 1000))
    kept.audit.trim(int((time.time() - kept.settings.audit_days * 86_400) * 1000))
    if kept.connection.redis.set(REWRITTEN, "", nx=True, ex=_REWRITE_SECONDS):
        _write_anew(kept)


def _write_anew(kept: Store) -> None:
    """Has what was removed leave the store's blocks and file, where it would stay for ever or for long."""
    client = kept.connection.redis
    for shard in kept.connection.shards:
        # In a larger stream it is less of what is kept, and copying it costs more.
        if client.xlen(shard.events) <= _SMALL_STREAM:
            with suppress(NotWritten):
                Scrub(kept.connection).run(shard)
    if kept.settings.redis_url is None:  # a small file would never be rewritten by itself
        rewrite_append_only_files(client)


def remove_older(kept: Store, oldest: int) -> None:
    """Removes what came before a time (ms). What expires by itself, photos and commands, is not its concern."""
    doubted = _clock_is_doubted(kept, oldest)
    for shard in kept.connection.shards:
        if not doubted:
            _trim(kept.connection.redis, shard, oldest)
        _remove_left_overs(kept, shard, oldest)


def _clock_is_doubted(kept: Store, oldest_ms: int) -> bool:
    """Whether it has jumped, more likely than that a month was silent; for a day, in which it may be set right."""
    client = kept.connection.redis
    newest = [
        int(entry.partition(b"-")[0])
        for shard in kept.connection.shards
        for entry, _ in client.xrevrange(shard.events, count=1)
    ]
    if not newest or max(newest) >= oldest_ms:
        client.delete(DOUBTED)
        return False
    left = _DOUBTS - int(client.incr(DOUBTED))
    if left >= 0:
        log.warning(
            "nothing was removed: even the newest event is older than the retention. If the clock is wrong, set it "
            "right within %d hours: then they will be removed.",
            left + 1,
        )
    return left >= 0


def _trim(client: Any, shard: Shard, oldest_ms: int) -> None:
    client.xtrim(shard.events, minid=oldest_ms, approximate=False)
    for pattern in (f"{shard.tag}:events:*", f"{shard.tag}:sub:*:log", f"{shard.tag}:sub:*:queue"):
        for name in client.scan_iter(match=pattern, count=1_000):
            client.xtrim(name, minid=oldest_ms, approximate=False)
            if not client.xlen(name):
                client.delete(name)
    _trim_commands(client, CommandKeys(shard), oldest_ms)
    _trim_strangers(client, shard, oldest_ms)


def _trim_strangers(client: Any, shard: Shard, oldest_ms: int) -> None:
    """The list of a device as a whole lives for as long as new ones come."""
    for name in client.scan_iter(match=f"{shard.tag}:strangers:*", count=1_000):
        told = client.hgetall(name).items()
        old = [user_id for user_id, at in told if int(at) * 1000 < oldest_ms]
        if old:
            client.hdel(name, *old)


def _trim_commands(client: Any, keys: CommandKeys, oldest_ms: int) -> None:
    """A command is kept for the retention after its end, which comes within a day or so."""
    for name in (keys.all, *client.scan_iter(match=keys.of_device("*"), count=1_000)):
        client.xtrim(name, minid=max(0, oldest_ms - _COMMANDS_MS), approximate=False)
        if not client.xlen(name):
            client.delete(name)


def _remove_left_overs(kept: Store, shard: Shard, oldest_ms: int) -> None:
    client = kept.connection.redis
    found = list(client.scan_iter(match=f"{shard.tag}:sub:*", count=1_000))
    known = set(kept.subscriptions.ids())  # read last: what is subscribed meanwhile is known
    for name in found:
        if name.decode().split(":")[2] not in known:
            client.delete(name)
    for subscription_id in known:
        dead = shard.subscription(subscription_id, "dead")
        for old in client.zrangebyscore(dead, "-inf", oldest_ms):
            client.zrem(dead, old)
            for part in ("state", "batches", "tests"):
                client.hdel(shard.subscription(subscription_id, part), old)
