"""Publishes `device.silent` and `device.back` once for each silence, whatever restarts or dies meanwhile.

Silence only counts while the relay is listening, which the web processes report every few seconds. If none did, or if
nobody checked for a while, the time starts again for every device, so that the relay's own absence causes no alerts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from app.base import working_hours
from app.events.flatten import received_iso
from app.gateway import clock
from app.store.devices.registry import Devices
from app.store.events.relay_events import RelayEvents
from app.store.server.connection import Connection
from app.store.server.damage import left_out, number, readable
from app.store.server.keys import ALERTS, LISTENING, Shard
from app.store.server.pipelines import asked

LISTEN_SECONDS = 10.0
_LISTENED_SECONDS = 45
_ABSENT_MS = 120_000


class _State(NamedTuple):
    """A device's state. Times are in ms since 1970; `silent_since` is the start of a published silence."""

    device_id: str
    shard: Shard
    record: dict[str, Any]
    last_seen: int | None
    silent_since: int | None


class Alerts:
    """Watches the devices."""

    def __init__(self, connection: Connection, devices: Devices, relay_events: RelayEvents) -> None:
        self._connection = connection
        self._devices = devices
        self._relay_events = relay_events
        self._after_minutes = connection.settings.silent_after_minutes
        self._hours = connection.settings.working_hours

    def listening(self) -> None:
        """Report that callbacks are accepted. Web processes call this every LISTEN_SECONDS."""
        self._connection.redis.set(LISTENING, "", ex=_LISTENED_SECONDS)

    def check(self, now: int | None = None) -> None:
        """Publish events for devices that fell silent and for those that are back. `now` is in ms since 1970."""
        now = int(time.time() * 1000) if now is None else now
        listened_since = self._listened_since(now)
        for state in list(self._states()):
            with left_out(f"device {state.device_id}"):
                if state.silent_since is not None:
                    self._check_silent(state, now)
                elif state.last_seen is not None:
                    self._check_heard(state, max(state.last_seen, listened_since), now)

    def _listened_since(self, now: int) -> int:
        client = self._connection.redis
        checked, since = map(number, client.hmget(ALERTS, "checked", "since"))
        absent = not checked or not since or not 0 <= now - checked <= _ABSENT_MS
        began = now if absent or not client.exists(LISTENING) else int(since)
        client.hset(ALERTS, mapping={"checked": now, "since": began})
        return began

    def _states(self) -> Iterator[_State]:
        client = self._connection.redis
        shards = self._connection.shards_of_devices()

        def call(pipeline: Any, place: tuple[str, Shard]) -> None:
            device_id, shard = place
            pipeline.hmget(shard.device(device_id), "record", "last_seen")
            pipeline.hget(shard.silent, device_id)

        answers = asked(client, shards.items(), call, calls=2, raise_on_error=False)
        for (device_id, shard), answer in answers:
            (record, seen), silent = readable(answer, ((None, None), None))
            if record is None:
                continue
            with left_out(f"device {device_id}"):
                yield _State(
                    device_id,
                    shard,
                    orjson.loads(record),
                    int(seen) if seen else None,
                    int(silent) if silent else None,
                )

    def _limits(self, record: dict[str, Any]) -> tuple[int, str]:
        """Return after how many minutes a device is silent (0: never), and its working hours."""
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
        elif not self._limits(state.record)[0]:  # no alert is wanted any more
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
