"""Publishes `user.unknown`: an ID that punches on a device whose users are known, and is not among them.

A user is known whom the device reported, whom a command put there or found there, or who is in the list of employees.
Of a device that never reported a user, nothing is said. Each device and ID is told once in a retention.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from app import ids
from app.gateway.operations import BY_ACTION
from app.store.attendance_index import Found
from app.store.commands import ADD_USER
from app.store.connection import Connection
from app.store.devices import Devices
from app.store.employees import Employees
from app.store.keys import Shard
from app.store.relay_events import RelayEvents

_BATCH = 200


class UnknownUsers:
    """Looks at who punches."""

    def __init__(
        self, connection: Connection, devices: Devices, employees: Employees, relay_events: RelayEvents
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._employees = employees
        self._relay_events = relay_events
        self._bodies = connection.script("bodies")
        self._keep = connection.settings.retention_days * 86_400

    def look(self, shard: Shard, punches: list[Found]) -> None:
        """Tells which of the punches are of people whom their device doesn't know."""
        first = {(punch.mark.device_id, punch.user_id): punch for punch in reversed(punches)}
        strangers = self._strangers(shard, list(first))
        if strangers:
            self.note_commands(shard)
            strangers = self._strangers(shard, strangers)
        for device_id, user_id in strangers:
            self._tell(shard, first[device_id, user_id])

    def _strangers(self, shard: Shard, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        pipeline = self._connection.redis.pipeline(transaction=False)
        for device_id, user_id in pairs:
            pipeline.zcard(shard.users(device_id))
            pipeline.zscore(shard.users(device_id), user_id)
            pipeline.sismember(shard.commanded(device_id), user_id)
        answers = pipeline.execute() if pairs else []
        found = [
            pair
            for pair, count, score, commanded in zip(
                pairs, answers[::3], answers[1::3], answers[2::3], strict=True
            )
            if count and score is None and not commanded
        ]
        employed = self._employees.of({user_id for _, user_id in found})
        return [pair for pair in found if pair[1] not in employed]

    def _tell(self, shard: Shard, punch: Found) -> None:
        device = self._devices.get(punch.mark.device_id)
        if device is None or device.shard.number != shard.number:
            return
        now, key = int(time.time()), shard.strangers(device.id)
        told = self._connection.redis.hget(key, punch.user_id)
        if told is not None and int(told) > now - self._keep:
            return
        fields = {
            **punch.when,
            "user_id": punch.user_id,
            "punch_event_id": ids.event_id(shard.number, punch.entry),
        }
        note = (key, punch.user_id, told or b"", str(now))
        self._relay_events.publish_once("user.unknown", fields, note, self._keep, device)

    # Who was put on a device by a command

    def note_all_commands(self) -> None:
        """Of every shard: often enough that none is missed."""
        for shard in self._connection.shards:
            self.note_commands(shard)

    def note_commands(self, shard: Shard) -> None:
        """Notes whom commands that were carried out since put on a device, or took from it."""
        client = self._connection.redis
        while True:
            last = client.hget(shard.attendance, "commands_at") or b"0-0"
            rows = client.xrange(shard.by_type("command.completed"), b"(" + last, "+", count=_BATCH)
            if not rows:
                return
            entries = [entry for entry, _ in rows]
            pipeline = client.pipeline(transaction=True)
            for stored in self._bodies(keys=[shard.events], args=entries):
                if stored:
                    self._note(pipeline, shard, orjson.loads(stored[0]))
            pipeline.hset(shard.attendance, "commands_at", entries[-1])
            pipeline.execute()

    def _note(self, pipeline: Any, shard: Shard, event: dict[str, Any]) -> None:
        action, user_id, key = event["action"], event["user_id"], shard.commanded(event["device_id"])
        if action == "delete-all-user":
            pipeline.delete(key)
        elif user_id is not None and action == "delete-user":
            pipeline.srem(key, user_id)
        elif user_id is not None and (action == ADD_USER or _is_about_a_user(action)):
            pipeline.sadd(key, user_id)


def _is_about_a_user(action: str) -> bool:
    return action in BY_ACTION and BY_ACTION[action].subject == "user"
