"""Publishes `device.silent` and `device.back`: once for each silence, whatever restarts or dies meanwhile.

Silence is counted only while the relay listens. A web process says so every few seconds; where none did, or where
nobody checked for a while, the count of every device begins anew, so that the relay's own absence alarms nobody.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from app import working_hours
from app.events.flatten import received_iso
from app.gateway import clock
from app.store.connection import Connection
from app.store.devices import Devices
from app.store.keys import ALERTS, DEVICES, LISTENING, Shard
from app.store.relay_events import RelayEvents

LISTEN_SECONDS = 10.0
_LISTENED_SECONDS = 45
_ABSENT_MS = 120_000


class _State(NamedTuple):
    """What is known of a device. Times are ms since 1970; `silent_since` is when a silence that was told began."""

    device_id: str
    shard: Shard
    record: dict[str, Any]
    last_seen: int | None
    silent_since: int | None


class Alerts:
    """Watches over the devices."""

    def __init__(self, connection: Connection, devices: Devices, relay_events: RelayEvents) -> None:
        self._connection = connection
        self._devices = devices
        self._relay_events = relay_events
        self._after_minutes = connection.settings.silent_after_minutes
        self._hours = connection.settings.working_hours

    def listening(self) -> None:
        """Says that callbacks are taken: to be called every LISTEN_SECONDS by who takes them."""
        self._connection.redis.set(LISTENING, "", ex=_LISTENED_SECONDS)

    def check(self, now: int | None = None) -> None:
        """Tells which devices fell silent and which are back. `now` in ms since 1970."""
        now = int(time.time() * 1000) if now is None else now
        listened_since = self._listened_since(now)
        for state in list(self._states()):
            if state.silent_since is not None:
                self._check_silent(state, now)
            elif state.last_seen is not None:
                self._check_heard(state, max(state.last_seen, listened_since), now)

    def _listened_since(self, now: int) -> int:
        client = self._connection.redis
        checked, since = client.hmget(ALERTS, "checked", "since")
        absent = checked is None or since is None or not 0 <= now - int(checked) <= _ABSENT_MS
        began = now if absent or not client.exists(LISTENING) else int(since)
        client.hset(ALERTS, mapping={"checked": now, "since": began})
        return began

    def _states(self) -> Iterator[_State]:
        client = self._connection.redis
        shards = {name.decode(): Shard(int(number)) for name, number in client.hgetall(DEVICES).items()}
        pipeline = client.pipeline(transaction=False)
        for device_id, shard in shards.items():
            pipeline.hmget(shard.device(device_id), "record", "last_seen")
            pipeline.hget(shard.silent, device_id)
        answers = pipeline.execute() if shards else []
        for (device_id, shard), (record, seen), silent in zip(
            shards.items(), answers[::2], answers[1::2], strict=True
        ):
            if record is not None:
                yield _State(
                    device_id,
                    shard,
                    orjson.loads(record),
                    int(seen) if seen else None,
                    int(silent) if silent else None,
                )

    def _limits(self, record: dict[str, Any]) -> tuple[int, str]:
        """After how many minutes a device is silent (0: never), and its working hours."""
        own = record.get("silent_after_minutes")
        return self._after_minutes if own is None else own, record.get("working_hours") or self._hours

    def _check_heard(self, state: _State, since: int, now: int) -> None:
        minutes, hours = self._limits(state.record)
        if not minutes:
            return
        zone, enough = ZoneInfo(state.record["timezone"]), minutes * 60
        if working_hours.parse(hours).seconds(since / 1000, now / 1000, zone, enough) < enough:
            return
        fields = {
            "last_seen_at": _iso(state.last_seen),
            "silent_after_minutes": minutes,
            "working_hours": hours,
        }
        self._tell("device.silent", state, fields, b"", str(state.last_seen), now)

    def _check_silent(self, state: _State, now: int) -> None:
        silent_since = state.silent_since or 0
        if state.last_seen is not None and state.last_seen > silent_since:
            fields = {
                "last_seen_at": _iso(state.last_seen),
                "silent_since": _iso(silent_since),
                "silent_seconds": (state.last_seen - silent_since) // 1000,
            }
            self._tell("device.back", state, fields, str(silent_since).encode(), "", now)
        elif not self._limits(state.record)[0]:  # nobody wants to know any more
            self._connection.redis.hdel(state.shard.silent, state.device_id)

    def _tell(
        self, event_type: str, state: _State, fields: dict[str, Any], before: bytes, after: str, now: int
    ) -> None:
        device = self._devices.get(state.device_id)
        if device is not None:
            at = datetime.fromtimestamp(now / 1000, ZoneInfo(state.record["timezone"]))
            when = {"occurred_at": clock.iso(at), "occurred_at_utc": clock.iso_utc(at)}
            note = (state.shard.silent, state.device_id, before, after)
            self._relay_events.publish_once(event_type, {**when, **fields}, note, device=device)


def _iso(ms: int | None) -> str | None:
    return None if ms is None else received_iso(datetime.fromtimestamp(ms / 1000, UTC))
