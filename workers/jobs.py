"""What RQ runs: retries that are due, replays, upkeep. Every job may be lost or run twice without harm.

A failing target has one scheduled job, whatever its backlog: the id of the job says so.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any

from rq import Queue

from app.settings import current
from app.store import Store
from app.store.events import Query
from app.store.jobs import queue
from app.store.keys import UPKEEP, Shard

log = logging.getLogger("relay.jobs")

_CHUNK = 500
_OVERDUE_MS = 15_000
_UPKEEP_SECONDS = 3_600
_KEEP_RESULT = 60


@cache
def store() -> Store:
    """The store of this worker process."""
    return Store(current())


# Retries


def schedule_retry(jobs: Queue, subscription_id: str, shard: int, at: datetime) -> None:
    """Has `release_retries` run at that time; asking twice makes one job."""
    second = math.ceil(at.timestamp())  # RQ keeps whole seconds, and a job that comes early finds nothing due
    jobs.enqueue_at(
        datetime.fromtimestamp(second, UTC),
        release_retries,
        subscription_id,
        shard,
        # With its time: a job that is running can't schedule the next one under its own id.
        job_id=f"retry-{subscription_id}-{shard}-{second}",
        result_ttl=0,
        failure_ttl=_KEEP_RESULT,
    )


def release_retries(subscription_id: str, shard: int) -> None:
    """Makes due what waits for its retry, and comes again for the next."""
    kept = store()
    following = kept.deliveries.release(subscription_id, Shard(shard), time.time() * 1000)
    if following:
        jobs = queue(kept.connection.redis)
        schedule_retry(jobs, subscription_id, shard, datetime.fromtimestamp(following / 1000, UTC))


# Commands that the gateway holds


def schedule_poll(jobs: Queue, device_id: str, command_id: str, at: datetime) -> None:
    """Has a command asked for again at that time."""
    jobs.enqueue_at(
        at,
        poll_command,
        device_id,
        command_id,
        job_id=f"poll-{command_id}-{int(at.timestamp())}",
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
    query = Query(since=since_ms, until=until_ms)
    wanted = (event["id"] for event in kept.events.all(query) if subscription.takes(event))
    return sum(kept.deliveries.replay_events(subscription_id, chunk) for chunk in _chunks(wanted))


def _chunks(wanted: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(wanted, _CHUNK)):
        yield chunk


# Upkeep


def sweep(kept: Store) -> None:
    """Finds retries whose job was lost, and has the upkeep run once an hour."""
    jobs = queue(kept.connection.redis)
    subscription_ids = [subscription.id for subscription in kept.subscriptions.all()]
    overdue = int(time.time() * 1000) - _OVERDUE_MS
    for subscription_id, shard in kept.deliveries.late_retry_jobs(subscription_ids, overdue):
        schedule_retry(jobs, subscription_id, shard.number, datetime.now(UTC))
    for device_id, command_id in kept.commands.overdue_polls(overdue):
        schedule_poll(jobs, device_id, command_id, datetime.now(UTC))
    if kept.connection.redis.set(UPKEEP, "", nx=True, ex=_UPKEEP_SECONDS):
        jobs.enqueue(upkeep, result_ttl=0, failure_ttl=_KEEP_RESULT)


def upkeep() -> None:
    """Removes what is older than the retention, and what subscriptions that are gone left."""
    kept = store()
    oldest = int((time.time() - kept.settings.retention_days * 86_400) * 1000)
    known = {subscription.id for subscription in kept.subscriptions.all()}
    for shard in kept.connection.shards:
        _trim(kept.connection.redis, shard, oldest)
        _remove_left_overs(kept.connection.redis, shard, known, oldest)


def _trim(client: Any, shard: Shard, oldest_ms: int) -> None:
    newest = client.xrevrange(shard.events, count=1)
    if newest and int(newest[0][0].partition(b"-")[0]) < oldest_ms:
        # Not one event within the retention: more likely the clock jumped than that a month was silent.
        log.warning(
            "nothing was removed: even the newest event is older than the retention; is the clock right?"
        )
        return
    client.xtrim(shard.events, minid=oldest_ms, approximate=False)
    for pattern in (f"{shard.tag}:events:*", f"{shard.tag}:sub:*:log"):
        for name in client.scan_iter(match=pattern, count=1_000):
            client.xtrim(name, minid=oldest_ms, approximate=False)
            if not client.xlen(name):
                client.delete(name)


def _remove_left_overs(client: Any, shard: Shard, known: set[str], oldest_ms: int) -> None:
    for name in client.scan_iter(match=f"{shard.tag}:sub:*", count=1_000):
        if name.decode().split(":")[2] not in known:
            client.delete(name)
    for subscription_id in known:
        dead = shard.subscription(subscription_id, "dead")
        for old in client.zrangebyscore(dead, "-inf", oldest_ms):
            client.zrem(dead, old)
            for part in ("state", "batches", "tests"):
                client.hdel(shard.subscription(subscription_id, part), old)
