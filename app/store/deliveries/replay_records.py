"""The replays' records for the API: the request, the progress, and how each ended."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

import orjson

from app.base.yielding import in_turns
from app.store.deliveries.rows import iso
from app.store.server.connection import Connection
from app.store.server.damage import left_out, readable
from app.store.server.keys import Shard
from app.store.server.pipelines import asked

MOST = 1_000  # replays per subscription
_ID = re.compile(r"rpl_([0-9a-z]{24})[0-9a-z]{16}")


def subscription_of(replay_id: str) -> str | None:
    """Return the ID of a replay's subscription; None if it isn't a replay's ID."""
    match = _ID.fullmatch(replay_id)
    return match and f"sub_{match[1]}"


class ReplayRecords:
    """Reads and writes the records of replays, on the first shard."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._swap = connection.script("swap")

    def _key(self, subscription_id: str) -> str:
        return Shard(0).subscription(subscription_id, "replay_records")

    def create(
        self,
        subscription_id: str,
        replay_id: str,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        event_count: int | None = None,
    ) -> None:
        """Save a replay of a time range, or one of `event_count` events that are already queued."""
        key, now = self._key(subscription_id), int(time.time() * 1000)
        if self._connection.redis.hlen(key) >= MOST:
            self._remove_oldest(subscription_id)
        record: dict[str, Any] = {"created_at": now, "since": since_ms, "until": until_ms}
        if event_count is not None:
            record |= {"event_count": event_count, "ended_at": now}
        self._connection.redis.hset(key, replay_id, orjson.dumps(record))

    def cancel(self, subscription_id: str, replay_id: str) -> None:
        """Mark a replay as cancelled, and remove its positions. One that has ended isn't changed."""
        key = self._key(subscription_id)
        while (stored := self._connection.redis.hget(key, replay_id)) is not None:
            shown = self._shown(subscription_id, replay_id, stored)
            if shown["status"] not in ("queued", "running"):
                break
            changed = {**orjson.loads(stored), "cancelled_at": int(time.time() * 1000)}
            if self._swap(keys=[key], args=[replay_id, stored, orjson.dumps(changed)]):
                break
        # On some shards, the position may not have been moved yet from the deleted subscription that it began for.
        for owner in {subscription_id, subscription_of(replay_id) or subscription_id}:
            for shard in self._connection.shards:
                self._connection.redis.hdel(shard.subscription(owner, "replays"), replay_id)

    def get(self, subscription_id: str, replay_id: str) -> dict[str, Any] | None:
        """Return a replay as the API shows it; None if there is none."""
        stored = self._connection.redis.hget(self._key(subscription_id), replay_id)
        return None if stored is None else self._shown(subscription_id, replay_id, stored)

    def owner(self, replay_id: str, subscription_ids: Iterable[str]) -> str | None:
        """Return which of these subscriptions has a replay, because it was taken over from a deleted one."""

        def call(pipeline: Any, subscription_id: str) -> None:
            pipeline.hexists(self._key(subscription_id), replay_id)

        answers = asked(self._connection.redis, subscription_ids, call, raise_on_error=False)
        return next((name for name, found in answers if readable([found], (0,))[0]), None)

    def page(
        self, subscription_id: str, limit: int, after: tuple[int, str] | None
    ) -> tuple[list[dict[str, Any]], tuple[int, str] | None]:
        """Return a subscription's replays, the latest first, and the position of the next page (time and ID)."""
        found = []
        for name, stored in in_turns(self._connection.redis.hgetall(self._key(subscription_id)).items()):
            with left_out(f"replays of subscription {subscription_id}"):
                found.append((int(orjson.loads(stored)["created_at"]), name.decode(), stored))
        found.sort(reverse=True)
        left = [one for one in found if after is None or one[:2] < after]
        rows = [self._shown(subscription_id, name, stored) for _, name, stored in left[:limit]]
        return rows, left[limit - 1][:2] if len(left) > limit else None

    def _shown(self, subscription_id: str, replay_id: str, stored: bytes) -> dict[str, Any]:
        record = orjson.loads(stored)
        pipeline = self._connection.redis.pipeline(transaction=False)
        for shard in self._connection.shards:
            pipeline.hexists(shard.subscription(subscription_id, "replays"), replay_id)
            counts = shard.subscription(subscription_id, "replayed")
            pipeline.hmget(counts, replay_id, f"{replay_id}:ended")
        answers = pipeline.execute()
        under_way = any(answers[::2])
        queued, ended = zip(*answers[1::2], strict=True)
        progress = sum(int(count or 0) for count in queued)
        ended_at: int | None = None
        if "cancelled_at" in record:
            status, ended_at = "cancelled", record["cancelled_at"]
        elif "ended_at" in record:
            status, ended_at, progress = "completed", record["ended_at"], record["event_count"]
        elif under_way:
            status = "running" if any(count is not None for count in queued) else "queued"
        elif all(ended):
            status, ended_at = "completed", max(map(int, ended))
        else:  # its position is lost
            status = "failed"
        return {
            "id": replay_id,
            "subscription_id": subscription_id,
            "status": status,
            "since": None if record["since"] is None else iso(record["since"]),
            "until": None if record["until"] is None else iso(record["until"]),
            "event_count": progress if status == "completed" else None,
            "progress": progress,
            "created_at": iso(record["created_at"]),
            "ended_at": None if ended_at is None else iso(ended_at),
        }

    # Upkeep

    def remove_older(self, subscription_id: str, oldest_ms: int) -> None:
        """Remove replays that were requested before a time, unless they are under way."""
        stored = self._connection.redis.hgetall(self._key(subscription_id))
        self._remove(subscription_id, [name for name, at in _created(stored) if at < oldest_ms])

    def _remove_oldest(self, subscription_id: str) -> None:
        created = _created(self._connection.redis.hgetall(self._key(subscription_id)))
        names = [name for name, _ in sorted(created, key=lambda one: one[1])]
        self._remove(subscription_id, names[: max(0, len(names) - MOST + MOST // 10)])

    def _remove(self, subscription_id: str, names: list[str]) -> None:
        shards = self._connection.shards
        under_way = {
            name.decode()
            for shard in shards
            for name in self._connection.redis.hkeys(shard.subscription(subscription_id, "replays"))
        }
        gone = [name for name in names if name not in under_way]
        if not gone:
            return
        self._connection.redis.hdel(self._key(subscription_id), *gone)
        for shard in shards:
            counts = shard.subscription(subscription_id, "replayed")
            self._connection.redis.hdel(counts, *gone, *(f"{name}:ended" for name in gone))


def _created(stored: dict[bytes, bytes]) -> list[tuple[str, int]]:
    """Return a replay, and when it was requested (ms); 0 if that can't be read."""
    found = []
    for name, record in stored.items():
        try:
            at = int(orjson.loads(record)["created_at"])
        except (ValueError, LookupError, TypeError):
            at = 0
        found.append((name.decode(errors="replace"), at))
    return found
