"""Removes data that is older than the retention from the store and the archive."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import RedisError, ResponseError

from app.archive import ArchiveAway, ArchiveRefused
from app.base.loops import LOOPS
from app.store import Store, is_away
from app.store.commands.keys import CommandKeys
from app.store.server.connection import Connection
from app.store.server.keys import DOUBTED, Shard
from app.store.server.repairs import note_repair
from app.store.subscriptions.keys import owners

log = logging.getLogger("relay.jobs")

_DOUBTS = 24  # upkeeps
_ARCHIVED_BATCHES = 1_000  # of each shard; the thread that writes the archive has usually done all of them
_COMMANDS_MS = 2 * 86_400 * 1000


def remove_all_old(kept: Store, now: float) -> None:
    """Remove everything whose time is up from the store and the archive, except data that expires by itself.

    If the clock is doubted, this only removes what doesn't depend on it.
    """
    oldest_ms = int((now - kept.settings.retention_days * 86_400) * 1000)
    if remove_older(kept, oldest_ms):
        remove_from_archive(kept, now)
        kept.api_keys.remove_expired()
        kept.event_reader.trim(oldest_ms)
        kept.audit.trim(int((now - kept.settings.audit_days * 86_400) * 1000))


def remove_older(kept: Store, oldest: int) -> bool:
    """Remove data from before a time (ms), except data that expires by itself, such as photos and commands.

    Returns False if nothing was removed because of its age, because the clock is doubted.
    """
    doubted = _clock_is_doubted(kept, oldest)
    stays = _removable(kept, oldest)
    for shard in kept.connection.shards:
        if not doubted:
            _trim(kept.connection.redis, shard, oldest, stays[shard.number])
        _remove_left_overs(kept, shard, oldest)
    if not doubted:
        kept.correction_records.remove_older()
        for subscription_id in kept.subscriptions.ids():
            with _damage_left_alone():
                kept.replay_records.remove_older(subscription_id, oldest)
    return not doubted


def _removable(kept: Store, oldest_ms: int) -> dict[int, str]:
    """Return the first entry of each shard's events that must stay: with an archive, the first one not archived."""
    shards, opened = kept.connection.shards, kept.past.opened()
    if kept.past.archive is None:
        return {shard.number: str(oldest_ms) for shard in shards}
    positions: dict[int, str] = {}
    try:
        kept.archiver.advance(_ARCHIVED_BATCHES)
        positions = {} if opened is None else opened[0].positions(opened[1])
    except (ArchiveAway, ArchiveRefused) as error:
        log.warning("no events were removed, because the archive can't be read: %s", error)
    return {shard.number: _first_to_stay(positions.get(shard.number, "0-0"), oldest_ms) for shard in shards}


def _first_to_stay(archived: str, oldest_ms: int) -> str:
    ms, _, sequence = archived.partition("-")
    return str(oldest_ms) if int(ms) >= oldest_ms else f"{ms}-{int(sequence) + 1}"


def _clock_is_doubted(kept: Store, oldest_ms: int) -> bool:
    """Return whether the clock probably jumped, rather than a month without events; for a day, to correct it."""
    client = kept.connection.redis
    newest = [
        int(entry.partition(b"-")[0])
        for shard in kept.connection.shards
        for entry, _ in client.xrevrange(shard.events, count=1)
    ]
    if not newest or max(newest) >= oldest_ms:
        client.delete(DOUBTED)
        return False
    left = _DOUBTS - _counted_doubt(kept.connection)
    if left >= 0:
        log.warning(
            "nothing was removed, because even the newest event is older than the retention period. If the clock is "
            "wrong, correct it within %d hours. After that, the events will be removed.",
            left + 1,
        )
    return left >= 0


def _counted_doubt(connection: Connection) -> int:
    """Count another upkeep that doubted the clock, and return how many there are. A damaged number starts again."""
    try:
        return int(connection.redis.incr(DOUBTED))
    except ResponseError as error:
        if is_away(error):
            raise
    connection.redis.set(DOUBTED, 1)
    note_repair(connection, DOUBTED)
    return 1


def _trim(client: Any, shard: Shard, oldest_ms: int, first_event: str) -> None:
    client.xtrim(shard.events, minid=first_event, approximate=False)
    for pattern, oldest in (
        (f"{shard.tag}:events:*", first_event),
        (f"{shard.tag}:sub:*:log", oldest_ms),
        (f"{shard.tag}:sub:*:queue", oldest_ms),
    ):
        for name in client.scan_iter(match=pattern, count=1_000):
            _trim_stream(client, name, oldest)
    _trim_commands(client, CommandKeys(shard), oldest_ms)
    _trim_strangers(client, shard, oldest_ms)


def _trim_stream(client: Any, name: bytes | str, oldest: int | str) -> None:
    with _damage_left_alone():
        client.xtrim(name, minid=oldest, approximate=False)
        if not client.xlen(name):
            client.delete(name)


def _trim_strangers(client: Any, shard: Shard, oldest_ms: int) -> None:
    """Trim the lists of unknown users, because a device's list doesn't expire as long as new ones are added."""
    for name in client.scan_iter(match=f"{shard.tag}:strangers:*", count=1_000):
        with _damage_left_alone():
            told = client.hgetall(name).items()
            old = [user_id for user_id, at in told if int(at) * 1000 < oldest_ms]
            if old:
                client.hdel(name, *old)


def _trim_commands(client: Any, keys: CommandKeys, oldest_ms: int) -> None:
    """Trim the lists of commands. A command ends within about a day, and is kept for the retention after that."""
    for name in (keys.all, *client.scan_iter(match=keys.of_device("*"), count=1_000)):
        _trim_stream(client, name, max(0, oldest_ms - _COMMANDS_MS))


def _remove_left_overs(kept: Store, shard: Shard, oldest_ms: int) -> None:
    client = kept.connection.redis
    found = list(client.scan_iter(match=f"{shard.tag}:sub:*", count=1_000))
    noted = kept.parked.on(shard)
    known = owners(kept.connection)  # read last, so that subscriptions created meanwhile are known
    for name in noted - known:
        kept.parked.clear(shard, name)
    for name in found:
        if name.decode().split(":")[2] not in known:
            client.delete(name)
    for subscription_id in known:
        with _damage_left_alone():
            _remove_dead_letters(client, shard, subscription_id, oldest_ms)
            client.zremrangebyscore(shard.subscription(subscription_id, "settled"), "-inf", oldest_ms)


def _remove_dead_letters(client: Any, shard: Shard, subscription_id: str, oldest_ms: int) -> None:
    dead = shard.subscription(subscription_id, "dead")
    for old in client.zrangebyscore(dead, "-inf", oldest_ms):
        client.zrem(dead, old)
        for part in ("state", "batches", "tests", "answers"):
            client.hdel(shard.subscription(subscription_id, part), old)


@contextmanager
def _damage_left_alone() -> Iterator[None]:
    """Skip a key that the store refuses because of its type, so that the upkeep continues with the others."""
    loop = LOOPS.get("upkeep")
    try:
        yield
    except RedisError as error:
        if is_away(error):
            raise
        loop.failed(error)


def remove_from_archive(kept: Store, now: float) -> None:
    """Remove events from the archive that are older than RELAY_ARCHIVE_DAYS at a time (s since 1970)."""
    opened = kept.past.opened()
    if opened is None:
        return
    archive, store_id = opened
    types_by_days: dict[int, list[str]] = {}
    for event_type, days in kept.settings.archive.days.items():
        types_by_days.setdefault(days, []).append(event_type)
    with suppress(ArchiveAway, ArchiveRefused):  # the thread that writes it reports this
        for days, types in types_by_days.items():
            of_punches = "attendance.punch" in types
            before_ms = int((now - days * 86_400) * 1000)
            archive.remove_older(store_id, before_ms, types, punches_too=of_punches)
