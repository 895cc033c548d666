"""RQ's jobs: due retries, replays, upkeep. Every job may be lost or run twice without harm.

A failing target has only one scheduled job, whatever its backlog, because the job's ID is derived from it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache

from redis.exceptions import RedisError
from rq.job import Job

from app.health.public_url import check_public_url
from app.settings.table import current
from app.store import Store, is_away
from app.store.access.audit import RELAY
from app.store.deliveries.replays import LOOKS, Advance
from app.store.jobs import enqueue, enqueue_at, queue
from app.store.privacy.scrub import NotWritten, Scrub
from app.store.server.claims import claim
from app.store.server.connection import rewrite_append_only_files
from app.store.server.damage import number
from app.store.server.keys import PUBLIC_URL_DUE, REWRITTEN, UPKEEP, Shard
from workers.delivery.retry_schedule import MAX_RETRY_AFTER
from workers.rq.former_jobs import take_over
from workers.rq.removal import remove_all_old

log = logging.getLogger("relay.jobs")

_OVERDUE_MS = 4_000
_OVERDUE_POLL_MS = 15_000
_PUBLIC_URL_SECONDS = 300
_UNREACHED_SECONDS = 60  # between checks of a public URL that leads elsewhere
_UPKEEP_SECONDS = 3_600
_UPKEEP_TIMEOUT = 3_600
_UNDER_WAY_SECONDS = 600  # until an upkeep that was killed runs again
_REWRITE_SECONDS = 86_000
_SMALL_STREAM = 50_000  # events
_SLICE_SECONDS = 1.0  # of a replay, before other jobs run
_STALLED_SECONDS = 4.0
_FULL = 100  # jobs that wait
_EXPIRED = "The subscription expired and was deleted."
_FAR = 1.2  # a retry never waits longer than its step and jitter


@cache
def store() -> Store:
    """Return the store of this worker process."""
    return Store(current())


def _now_ms() -> int:
    return int(time.time() * 1000)


# Retries


def schedule_retry(kept: Store, subscription_id: str, shard: int, at_ms: int, before_ms: int = 0) -> None:
    """Schedule `release_retries` for that time instead of the previous one; 0 means never."""
    # RQ uses whole seconds, and a job that runs too early finds nothing due.
    second, before = math.ceil(at_ms / 1000), math.ceil(before_ms / 1000)
    # The ID contains the time, because a running job can't schedule the next one with its own ID.
    name = f"retry-{subscription_id}-{shard}"
    if before not in (0, second):
        _unschedule(kept, f"{name}-{before}")
    if second:
        at = datetime.fromtimestamp(second, UTC)
        enqueue_at(kept.connection, at, "release_retries", subscription_id, shard, job_id=f"{name}-{second}")
        # If another process replaced it before it was saved, it couldn't remove it.
        health = Shard(shard).subscription(subscription_id, "health")
        wanted = kept.connection.redis.hget(health, "retry_job_at")
        if wanted is not None and math.ceil(number(wanted) / 1000) != second:
            _unschedule(kept, f"{name}-{second}")


def _unschedule(kept: Store, job_id: str) -> None:
    jobs = queue(kept.connection)
    if jobs.connection.zrem(jobs.scheduled_job_registry.key, job_id):
        jobs.connection.delete(Job.key_for(job_id))


def release_retries(subscription_id: str, shard: int) -> None:
    """Make due retries ready, and schedule the next job."""
    _release(store(), subscription_id, Shard(shard))


def release_all(kept: Store) -> None:
    """Make all waiting retries ready."""
    for subscription_id in kept.subscriptions.ids():
        for shard in kept.connection.shards:
            _release(kept, subscription_id, shard, math.inf)


def _release(kept: Store, subscription_id: str, shard: Shard, upto_ms: float | None = None) -> None:
    upto_ms = _now_ms() if upto_ms is None else upto_ms
    try:
        following, before = kept.deliveries.release(subscription_id, shard, upto_ms)
    except RedisError as error:
        if is_away(error):
            raise
        kept.parked.note(shard, subscription_id, f"{type(error).__name__}: {error}")
        return  # the dispatcher also parks it; all others continue
    with suppress(RedisError, OSError):  # RQ's server may be a different one, and away: the sweep finds it
        schedule_retry(kept, subscription_id, shard.number, following, before)


# Commands that the gateway holds


def schedule_poll(kept: Store, device_id: str, command_id: str, at: datetime) -> None:
    """Schedule asking for a command again at that time."""
    # Each poll is a separate job, however soon it runs.
    name = f"poll-{command_id}-{int(at.timestamp() * 1000)}"
    enqueue_at(kept.connection, at, "poll_command", device_id, command_id, job_id=name)


def poll_command(device_id: str, command_id: str) -> None:
    """Queue a command that the gateway holds, so that the dispatcher asks for it again."""
    store().commands.ask_again(command_id, device_id)


# Replays


def advance_replay(subscription_id: str, replay_id: str) -> None:
    """Queue a replay's next events, and schedule the rest, so that retries don't have to wait for all of it."""
    kept = store()
    subscription = kept.subscriptions.get(subscription_id)
    if subscription is None:
        return
    following = kept.replays.advance(subscription, replay_id, _SLICE_SECONDS)
    if following is Advance.MORE:
        enqueue(kept.connection, "advance_replay", subscription_id, replay_id)
    elif following in LOOKS:
        step = LOOKS[following]
        second = math.ceil(time.time() / step + 1) * step
        name = f"replay-{replay_id}-{second}"  # two jobs of a replay become one
        at = datetime.fromtimestamp(second, UTC)
        enqueue_at(kept.connection, at, "advance_replay", subscription_id, replay_id, job_id=name)


def release_test(subscription_id: str, delivery: str) -> None:
    """Queue a planned test event, if its subscription still exists."""
    kept = store()
    subscription = kept.subscriptions.get(subscription_id)
    if subscription is not None:
        kept.deliveries.release_test(subscription, delivery)


def _take_on(kept: Store) -> None:
    """Continue replays and tests whose job was lost or killed."""
    known = kept.subscriptions.ids()
    for subscription_id, delivery in kept.deliveries.late_tests(known, _now_ms() - _OVERDUE_MS):
        subscription = kept.subscriptions.get(subscription_id)
        if subscription is not None:
            kept.deliveries.release_test(subscription, delivery)
    if queue(kept.connection).count < _FULL:  # otherwise, their jobs may be among the waiting ones
        for subscription_id, replay_id in kept.replays.stalled(known, _STALLED_SECONDS):
            enqueue(kept.connection, "advance_replay", subscription_id, replay_id)


# The functions behind the names of jobs
RUNS: dict[str, Callable[..., None]] = {
    "release_retries": release_retries,
    "poll_command": poll_command,
    "advance_replay": advance_replay,
    "release_test": release_test,
    "check_public_url": lambda: look_at_public_url(),
    "upkeep": lambda: upkeep(),
}

# Upkeep


def sweep(kept: Store) -> None:
    """Do the work of lost jobs, sample the counters, and run the upkeep once an hour.

    A step that fails doesn't affect the others: even without RQ's store, retries are made. Raises the first failure
    other than the store's absence, or else the first one.
    """
    failures: list[Exception] = []
    steps = (
        _make_late_retries,
        _ask_late_commands,
        take_over,
        _take_on,
        _remove_ended,
        _sample,
        _have_public_url_checked,
        _have_upkeep_run,
    )
    for step in steps:
        try:
            step(kept)
        except Exception as error:
            failures.append(error)
    if failures:
        raise next((error for error in failures if not is_away(error)), failures[0])


def _make_late_retries(kept: Store) -> None:
    now = _now_ms()
    for subscription_id, shard in kept.deliveries.late_retry_jobs(
        kept.subscriptions.ids(), now - _OVERDUE_MS
    ):
        _release(kept, subscription_id, shard)
    latest = now + int(max(*kept.settings.retry_schedule, MAX_RETRY_AFTER) * 1000 * _FAR)
    for subscription_id, shard in kept.deliveries.retries_after(kept.subscriptions.ids(), latest):
        log.warning(
            "a retry for subscription %s was scheduled too far ahead, because the clock was wrong; it is made now",
            subscription_id,
        )
        _release(kept, subscription_id, shard, math.inf)


def _ask_late_commands(kept: Store) -> None:
    for device_id, command_id in kept.commands.overdue_polls(_now_ms() - _OVERDUE_POLL_MS):
        kept.commands.ask_again(command_id, device_id)


def _remove_ended(kept: Store) -> None:
    """Remove expired subscriptions, and of deleted ones what was kept for long enough, or was taken over."""
    kept.subscriptions.remove_deleted()
    kept.subscriptions.forget_moved()
    for subscription in kept.subscriptions.remove_expired():
        kept.audit.record(RELAY, "subscription.expired", subject=subscription.id)
        kept.relay_events.subscription_disabled(subscription, _EXPIRED)


def _sample(kept: Store) -> None:
    kept.history.sample()


def _have_public_url_checked(kept: Store) -> None:
    if kept.settings.public_url and claim(
        kept.connection, PUBLIC_URL_DUE, "", seconds=_PUBLIC_URL_SECONDS, longest=_UNREACHED_SECONDS
    ):
        enqueue(kept.connection, "check_public_url")


def look_at_public_url() -> None:
    """Check whether this relay answers at its public URL, and determine when to check again."""
    kept = store()
    if not check_public_url(kept):
        kept.connection.redis.set(PUBLIC_URL_DUE, "", ex=_UNREACHED_SECONDS)


def _have_upkeep_run(kept: Store) -> None:
    if claim(kept.connection, UPKEEP, "", seconds=_UNDER_WAY_SECONDS, longest=_UPKEEP_SECONDS):
        enqueue(kept.connection, "upkeep", timeout=_UPKEEP_TIMEOUT)


def upkeep() -> None:
    """Remove data that is older than the retention or from subscriptions that are gone, and set dates for old keys."""
    kept = store()
    kept.devices.date_former_keys()
    remove_all_old(kept, time.time())
    client = kept.connection.redis
    if claim(kept.connection, REWRITTEN, "", seconds=_UNDER_WAY_SECONDS, longest=_REWRITE_SECONDS):
        _write_anew(kept)
        client.set(REWRITTEN, "", ex=_REWRITE_SECONDS)
    client.set(UPKEEP, "", ex=_UPKEEP_SECONDS)


def _write_anew(kept: Store) -> None:
    """Remove deleted data from the store's blocks and file, which would keep it for a long time."""
    client = kept.connection.redis
    for shard in kept.connection.shards:
        # In a larger stream, it is a smaller part of the data, and copying costs more.
        if client.xlen(shard.events) <= _SMALL_STREAM:
            with suppress(NotWritten):
                Scrub(kept.connection).run(shard)
    if kept.settings.redis_url is None:  # a small file would otherwise never be rewritten
        rewrite_append_only_files(client)
