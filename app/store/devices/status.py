"""Counters and notes about devices, for people and metrics, not for receiving callbacks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from app.events.flatten import received_iso
from app.store.devices.simulated import SimulatedIds
from app.store.server.connection import Connection
from app.store.server.damage import left_out, number, readable
from app.store.server.keys import DEVICES, Shard
from app.store.server.pipelines import asked

_LATEST_MS = 253_402_300_800_000  # the year 10000; a later time is damaged
_COUNTERS = ("callbacks", "events", "duplicates", "unrecognised", "clock_suspect", "stale")


class DeviceStatus:
    """Reads the data about devices outside of their records."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ids(self) -> list[str]:
        """Return the IDs of all devices, sorted."""
        return sorted(device_id.decode() for device_id in self._connection.redis.hkeys(DEVICES))

    def registered(self, device_ids: Iterable[str]) -> set[str]:
        """Return those of the device IDs that are registered."""
        wanted = [device_id for device_id in device_ids if device_id]
        if not wanted:
            return set()
        placed = self._connection.redis.hmget(DEVICES, wanted)
        return {device_id for device_id, number in zip(wanted, placed, strict=True) if number is not None}

    def count(self) -> int:
        """Return how many devices there are."""
        return int(self._connection.redis.hlen(DEVICES))

    def forget_people(self) -> None:
        """Make every process read the users of devices again."""
        client = self._connection.redis
        keys = [shard.device(name) for name, shard in self._connection.shards_of_devices().items()]
        answers = asked(
            client, keys, lambda pipeline, key: pipeline.hincrby(key, "n", 1), raise_on_error=False
        )
        for _, answer in answers:
            readable([answer], (0,))

    def timezones(self, device_ids: Iterable[str]) -> dict[str, str]:
        """Return the present time zones of devices, without those that aren't registered."""
        return {device_id: record["timezone"] for device_id, record in self.records(device_ids).items()}

    def records(self, device_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the present records of devices, without those that aren't registered."""
        wanted = [(device_id, self._connection.shard_of(device_id)) for device_id in device_ids]
        placed = [(device_id, shard) for device_id, shard in wanted if shard is not None]
        records = asked(
            self._connection.redis,
            placed,
            lambda pipeline, place: pipeline.hget(place[1].device(place[0]), "record"),
            raise_on_error=False,
        )
        found: dict[str, dict[str, Any]] = {}
        for (device_id, _), record in records:
            with left_out(f"device {device_id}"):
                if isinstance(record, Exception):
                    raise record
                if record is not None:
                    found[device_id] = orjson.loads(record)
        return found

    def status(self, device_id: str) -> dict[str, Any]:
        """Return when it was last seen, since when it is silent (ISO 8601, UTC, or null), and its counters."""
        shard = self._connection.shard_of(device_id)
        if shard is None:
            return {}
        pipeline = self._connection.redis.pipeline(transaction=False)
        pipeline.hmget(shard.device(device_id), "last_seen", *_COUNTERS)
        pipeline.hget(shard.silent, device_id)
        values, silent = pipeline.execute()
        return {
            "last_seen_at": _iso(values[0]),
            "silent_since": _iso(silent),
            **{name: _whole(value) for name, value in zip(_COUNTERS, values[1:], strict=True)},
        }

    def counted(self) -> dict[str, tuple[dict[str, int], int | None]]:
        """Return all devices' counters, and when each one's last callback came (ms since 1970), sorted by ID."""
        client, found = self._connection.redis, {}
        shards = sorted(self._connection.shards_of_devices().items(), key=_by_id)

        def call(pipeline: Any, place: tuple[str, Shard]) -> None:
            pipeline.hmget(place[1].device(place[0]), "last_seen", *_COUNTERS)

        nothing = [None] * (1 + len(_COUNTERS))
        for (device_id, _), answer in asked(client, shards, call, raise_on_error=False):
            seen, *values = readable([answer], (nothing,))[0]
            counters = {name: _whole(value) for name, value in zip(_COUNTERS, values, strict=True)}
            found[device_id] = counters, _whole(seen) or None
        return found

    def unheard(self, before: datetime) -> list[str]:
        """Return the IDs of devices that were registered before that time and have sent no callback, sorted."""
        client, found = self._connection.redis, []
        shards = self._connection.shards_of_devices()

        def call(pipeline: Any, place: tuple[str, Shard]) -> None:
            pipeline.hmget(place[1].device(place[0]), "last_seen", "record")

        for (device_id, _), answer in asked(
            client, sorted(shards.items(), key=_by_id), call, raise_on_error=False
        ):
            seen, record = readable([answer], ([None, None],))[0]
            if record is None or _whole(seen):
                continue
            with left_out(f"device {device_id}"):
                if datetime.fromisoformat(orjson.loads(record)["created_at"]) < before:
                    found.append(device_id)
        return found

    def silent(self) -> set[str]:
        """Return the devices whose silence was published and that aren't back."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        for shard in self._connection.shards:
            pipeline.hkeys(shard.silent)
        found = readable(pipeline.execute(raise_on_error=False), ([],))
        return {name.decode(errors="replace") for names in found for name in names}

    def heard_since(self, since: float, simulated: SimulatedIds) -> bool:
        """Return whether a device that isn't simulated has sent a callback since a time (seconds since 1970)."""
        return any(
            seen is not None and seen > since * 1000
            for device_id, (_, seen) in self.counted().items()
            if device_id not in simulated
        )

    def last_seen(self, device_id: str) -> int | None:
        """Return when its last callback came, in ms since 1970."""
        shard = self._connection.shard_of(device_id)
        seen = None if shard is None else self._connection.redis.hget(shard.device(device_id), "last_seen")
        return _whole(seen) or None


def _by_id(place: tuple[str, Shard]) -> str:
    return place[0]


def _whole(value: bytes | None) -> int:
    """Return a counter; 0 if it is damaged, so that the other devices' counters are still shown."""
    return int(number(value))


def _iso(ms: bytes | None) -> str | None:
    """Return a time in ISO 8601, in UTC; None for no time."""
    at = _whole(ms)
    return received_iso(datetime.fromtimestamp(at / 1000, UTC)) if 0 < at < _LATEST_MS else None
