"""Publishes `user.unknown` when a user ID punches that isn't among the known users of its device.

Users are known if the device reported them, if a command added or found them there, or if they are in the list of
employees. Devices that never reported a user are left out. Each device and ID is published once per retention period.
"""

from __future__ import annotations

import time
from typing import Any

from app.base import ids
from app.gateway.operations import BY_ACTION
from app.store.attendance.index import Found
from app.store.commands.records import ADD_USER
from app.store.devices.registry import Devices
from app.store.events.relay_events import RelayEvents
from app.store.events.unreadable import EventReader
from app.store.people.employees import Employees
from app.store.server.connection import Connection
from app.store.server.damage import left_out, number, readable
from app.store.server.keys import Shard
from app.store.server.pipelines import asked

_BATCH = 200


class UnknownUsers:
    """Checks the user IDs of punches."""

    def __init__(
        self,
        connection: Connection,
        devices: Devices,
        employees: Employees,
        relay_events: RelayEvents,
        reader: EventReader,
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._employees = employees
        self._relay_events = relay_events
        self._reader = reader
        self._bodies = connection.script("bodies")
        self._keep = connection.settings.retention_days * 86_400

    def look(self, shard: Shard, punches: list[Found]) -> None:
        """Publish an event for each punch of a user whom the device doesn't know."""
        first = {(punch.mark.device_id, punch.user_id): punch for punch in reversed(punches)}
        strangers = self._strangers(shard, list(first))
        if strangers:
            with left_out(f"the commands of shard {shard.number}"):
                self.note_commands(shard)
            strangers = self._strangers(shard, strangers)
        for device_id, user_id in strangers:
            with left_out(f"unknown users of device {device_id}"):
                self._tell(shard, first[device_id, user_id])

    def _strangers(self, shard: Shard, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        def call(pipeline: Any, pair: tuple[str, str]) -> None:
            device_id, user_id = pair
            pipeline.zcard(shard.users(device_id))
            pipeline.zscore(shard.users(device_id), user_id)
            pipeline.sismember(shard.commanded(device_id), user_id)

        found = []
        for pair, answers in asked(self._connection.redis, pairs, call, calls=3, raise_on_error=False):
            count, score, commanded = readable(answers, (0, None, True))  # a damaged list causes no events
            if count and score is None and not commanded:
                found.append(pair)
        employed = self._employees.at((user_id, device_id) for device_id, user_id in found)
        return [pair for pair in found if (pair[1], pair[0]) not in employed]

    def _tell(self, shard: Shard, punch: Found) -> None:
        device = self._devices.get(punch.mark.device_id)
        if device is None or device.shard.number != shard.number:
            return
        now, key = int(time.time()), shard.strangers(device.id)
        told = self._connection.redis.hget(key, punch.user_id)
        if number(told) > now - self._keep:
            return
        fields = {
            **punch.when,
            "user_id": punch.user_id,
            "punch_event_id": ids.event_id(shard.number, punch.entry),
        }
        note = (key, punch.user_id, told or b"", str(now))
        self._relay_events.publish_once("user.unknown", fields, note, self._keep, device)

    # Users that commands added to a device

    def note_all_commands(self) -> None:
        """Note the users in the commands of every shard. Call this often enough to miss none."""
        for shard in self._connection.shards:
            self.note_commands(shard)

    def note_commands(self, shard: Shard) -> None:
        """Note the users that commands have added to a device, or deleted from it, since the last call."""
        client = self._connection.redis
        while True:
            last = client.hget(shard.attendance, "commands_at") or b"0-0"
            rows = client.xrange(shard.by_type("command.completed"), b"(" + last, "+", count=_BATCH)
            if not rows:
                return
            entries = [entry for entry, _ in rows]
            pipeline = client.pipeline(transaction=True)
            for entry, stored in zip(entries, self._bodies(keys=[shard.events], args=entries), strict=True):
                event = self._reader.read(shard, entry.decode(), stored[0]) if stored else None
                if event is not None:
                    self._note(pipeline, shard, event)
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
