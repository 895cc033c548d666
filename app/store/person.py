"""All that is kept of one person: erased everywhere, or shown as one document.

Where it is, `traces` finds; that the two agree, a test shows. A user ID that two people have on two devices is told
apart by the device only.
"""

from __future__ import annotations

import base64
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson

from app import ids
from app.events.flatten import received_iso
from app.store.attendance_index import read_mark, split_changed
from app.store.codec import Codec, deflate, inflate
from app.store.connection import Connection
from app.store.devices import Device, Devices
from app.store.employees import Employees
from app.store.keys import EMPLOYEES, Shard
from app.store.outcomes import CommandKeys
from app.store.scrub import Scrub
from app.store.traces import (
    QUEUES,
    Person,
    StoredEvent,
    Traces,
    blob,
    chunks,
    is_id,
    loaded_rows,
    split_punches,
)
from app.store.users import Users
from app.vault import SealError

_STATES = {
    "queue": "queued",
    "due": "due",
    "retry": "retrying",
    "dead": "dead letter",
    "batches": "in a batch",
}
_LISTS = {"users": "user of the device", "commanded": "put there by a command", "strangers": "unknown user"}


class Persons:
    """What is kept of people, whichever module keeps it."""

    def __init__(
        self, connection: Connection, devices: Devices, users: Users, employees: Employees, codec: Codec
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._users = users
        self._employees = employees
        self._codec = codec
        self._traces = Traces(connection, devices)
        self._scrub = Scrub(connection)
        self._drop_empty = connection.script("drop_empty")

    # Erasing

    def forget(self, user_id: str, device_id: str | None = None) -> dict[str, int]:
        """Erases a person, on one device or on all; how many of what. It may be called again.

        The user's record goes first, so that no event made from then on has the name. What comes from a device later
        is kept like anything else. Raises scrub.NotWritten where all is erased, but the store's blocks could not be
        written anew.
        """
        person, erased = Person(user_id, device_id), Counter[str]()
        if device_id is None:
            erased["employees"] += self._connection.redis.hdel(EMPLOYEES, user_id)
            self._devices.forget_people()
        for device in self._traces.devices(person):
            self._forget_user(device, person, erased)
        for shard in self._connection.shards:
            self._forget_punches(shard, person, erased)
            self._forget_commands(shard, person, erased)
            self._forget_attendance(shard, person, erased)
            self._forget_lists(shard, person, erased)
        for shard in self._connection.shards:
            self._forget_events(shard, person, erased)
        return dict(sorted(erased.items()))

    def _forget_user(self, device: Device, person: Person, erased: Counter[str]) -> None:
        client, shard, user_id = self._connection.redis, device.shard, person.user_id
        fields = client.hkeys(shard.user(device.id, user_id))
        pipeline = client.pipeline(transaction=True)
        pipeline.delete(shard.user(device.id, user_id))
        pipeline.zrem(shard.users(device.id), user_id)
        pipeline.hincrby(shard.device(device.id), "n", 1)  # processes remember names
        pipeline.execute()
        erased["profiles"] += b"profile" in fields
        erased["credentials"] += sum(name.startswith(b"c:") for name in fields)

    def _forget_punches(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        for key in self._traces.punches(shard, person):
            erased["remembered punches"] += self._connection.redis.hlen(key)
            self._connection.redis.delete(key)

    # Events, and what hangs on them

    def _forget_events(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        # Before they are erased: it is by them that the others are found.
        others = self._raws_of_others(shard, person)
        if others:
            self._scrub.run(shard, others)
            erased["places in others' callbacks"] += len(others)
        before = erased["events"]
        for chunk in chunks(self._traces.events(shard, person)):
            self._forget_chunk(shard, person, chunk, erased)
        if erased["events"] > before:
            self._scrub.run(shard)

    def _forget_chunk(
        self, shard: Shard, person: Person, chunk: list[StoredEvent], erased: Counter[str]
    ) -> None:
        entries = [found.entry for found in chunk]
        self._forget_deliveries(shard, entries, erased)
        blobs = [name for name in (blob(found.event) for found in chunk) if name is not None]
        pipeline = self._connection.redis.pipeline(transaction=False)
        for entry, event, _ in chunk:
            pipeline.xdel(shard.by_type(event["type"]), entry)
            if event["device_id"] is not None:
                pipeline.xdel(shard.by_device(event["device_id"]), entry)
        for name in blobs:
            pipeline.delete(shard.blob(name))
        # Last: what is broken off before is found again by them.
        pipeline.xdel(shard.by_user(person.user_id), *entries)
        pipeline.xdel(shard.events, *entries)
        pipeline.execute()
        self._drop_empty(keys=[shard.by_user(person.user_id)])
        erased["events"] += len(entries)
        erased["photos"] += sum(name.startswith("pho_") for name in blobs)
        erased["unrecognised bodies"] += sum(name.startswith("bod_") for name in blobs)

    def _raws_of_others(self, shard: Shard, person: Person) -> dict[str, bytes]:
        """Events of other people that came in one callback with the person's, and what is to be kept of it."""
        client, found = self._connection.redis, {}
        mine = {stored.entry for stored in self._traces.events(shard, person)}
        for at in sorted({entry.partition("-")[0] for entry in mine}):
            rows = client.xrange(shard.events, at, at)
            raws = {fields.get(b"r") for entry, fields in rows if entry.decode() in mine} - {b"", None}
            for entry, fields in rows:
                if entry.decode() not in mine and fields.get(b"r") in raws:
                    left = _without(orjson.loads(inflate(fields[b"r"])), person.user_id)
                    found[entry.decode()] = deflate(orjson.dumps(left))
        return found

    def _forget_deliveries(self, shard: Shard, entries: list[str], erased: Counter[str]) -> None:
        """Takes events out of the queues, the retries, the dead letters and the batches."""
        client, gone = self._connection.redis, set(entries)
        for name in self._traces.subscriptions():
            key = {part: shard.subscription(name, part) for part in ("queue", *QUEUES, "state", "batches")}
            emptied = []
            for batch, stored in client.hgetall(key["batches"]).items():
                left = [entry for entry in stored.decode().split() if entry not in gone]
                if not left:
                    emptied.append(batch.decode())
                elif len(left) < len(stored.split()):
                    client.hset(key["batches"], batch, " ".join(left))
                    erased["places in batches"] += len(stored.split()) - len(left)
            members = [*entries, *emptied]
            pipeline = client.pipeline(transaction=False)
            pipeline.xdel(key["queue"], *entries)
            for part in QUEUES:
                pipeline.zrem(key[part], *members)
            pipeline.hdel(key["state"], *members)
            pipeline.hdel(key["batches"], *members)
            # Whoever delivers holds some in memory: they are read again.
            pipeline.xadd(shard.wake, {"forgotten": name}, maxlen=1_000)
            queued, due, retrying, dead, *_ = pipeline.execute()
            erased["deliveries"] += queued + due + retrying
            erased["dead letters"] += dead

    # Attendance, and lists of user IDs

    def _forget_attendance(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        """Takes a person out of the attendance index. One that is on several devices goes on with the others."""
        client = self._connection.redis
        for remove, found in (
            (client.hdel, self._traces.weeks(shard, person)),
            (client.zrem, self._traces.days(shard, person)),
            (client.zrem, [self._traces.changed_days(shard, person)]),
            (client.hdel, self._traces.told_days(shard, person)),
        ):
            for key, names in found:
                erased["attendance"] += remove(key, *names) if names else 0

    def _forget_lists(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        client = self._connection.redis
        remove = {"users": client.zrem, "commanded": client.srem, "strangers": client.hdel}
        for kind, key in self._traces.lists(shard, person):
            erased["user IDs"] += remove[kind](key, person.user_id)

    # Commands

    def _forget_commands(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        client, keys = self._connection.redis, CommandKeys(shard)
        for command in self._traces.commands(shard, person):
            if command.record["user_id"] == person.user_id:
                if b"ended_at" not in command.fields:  # it is for the person's sake that it is under way
                    erased["commands under way, left"] += 1
                    continue
                client.delete(keys.command(command.id))
                erased["commands"] += 1
                continue
            logs = loaded_rows(command.fields)
            left = [row for row in logs if row.get("user_id") != person.user_id]
            if len(left) < len(logs):
                result = orjson.loads(command.fields[b"result"])
                client.hset(keys.command(command.id), "result", orjson.dumps({**result, "logs": left}))
                erased["rows of loaded logs"] += len(logs) - len(left)

    # Showing

    def export(
        self, user_id: str, device_id: str | None = None, *, templates: bool = False
    ) -> dict[str, Any]:
        """All that `forget` would erase. With `templates`, with the data of credentials, cards, photos and commands."""
        person = Person(user_id, device_id)
        found: dict[str, Any] = {
            "user_id": user_id,
            "device_id": device_id,
            "employee": self._employee(person),
            "users": [
                shown
                for device in self._traces.devices(person)
                if (shown := self._user(device, user_id, templates)) is not None
            ],
        }
        lists: dict[str, list[Any]] = {
            **{"events": [], "deliveries": [], "remembered_punches": [], "attendance": []},
            **{"user_id_lists": [], "commands": [], "loaded_log_rows": []},
        }
        for shard in self._connection.shards:
            for chunk in chunks(self._traces.events(shard, person)):
                lists["events"] += [self._event(shard, stored, templates) for stored in chunk]
                lists["deliveries"] += self._deliveries(shard, chunk)
            lists["remembered_punches"] += self._remembered(shard, person)
            lists["attendance"] += self._attendance(shard, person)
            lists["user_id_lists"] += [
                {"device_id": key.decode().split(":", 2)[2], "list": _LISTS[kind]}
                for kind, key in self._traces.lists(shard, person)
            ]
            for command in self._traces.commands(shard, person):
                if command.record["user_id"] == user_id:
                    lists["commands"].append(
                        self._command(command.id, command.record, command.fields, templates)
                    )
                else:
                    lists["loaded_log_rows"] += [
                        {"command_id": command.id, **row}
                        for row in loaded_rows(command.fields)
                        if row.get("user_id") == user_id
                    ]
        return found | lists

    def _employee(self, person: Person) -> dict[str, Any] | None:
        found = self._employees.of([person.user_id]) if person.device_id is None else {}
        return found[person.user_id]._asdict() if found else None

    def _user(self, device: Device, user_id: str, templates: bool) -> dict[str, Any] | None:
        (shown,) = self._users.show(device, [user_id])
        for credential in shown["credentials"] if shown and templates else ():
            kept = self._users.credential(
                device, user_id, credential["credential_type"], credential["credential_index"]
            )
            credential["data"] = kept["data"] if kept else None
        return shown

    def _event(self, shard: Shard, stored: StoredEvent, templates: bool) -> dict[str, Any]:
        event = self._codec.event(shard.number, stored.entry, orjson.dumps(stored.event))
        if not templates:
            return event
        if stored.event["type"] == "attendance.photo":
            photo = self._traces.opened(shard, "photo", blob(stored.event))
            event["photo_data"] = photo and base64.b64encode(photo.partition(b"\n")[2]).decode()
        elif stored.event["type"] == "callback.unrecognised":
            body = self._traces.opened(shard, "body", blob(stored.event))
            event["body"] = body and body.decode(errors="replace")
        if stored.extra is not None:
            opened = self._opened("extra", stored.extra, event["device_id"])
            event |= orjson.loads(opened) if opened else {}
        return event

    def _opened(self, purpose: str, sealed: bytes, context: str) -> bytes | None:
        try:
            return self._connection.vault.open(purpose, sealed, context)
        except SealError:
            return None

    def _deliveries(self, shard: Shard, chunk: list[StoredEvent]) -> list[dict[str, Any]]:
        return [
            {
                "subscription_id": subscription_id,
                "event_id": ids.event_id(shard.number, entry),
                "state": _STATES[part],
                "batch": batch,
            }
            for subscription_id, entry, part, batch in self._traces.deliveries(
                shard, [stored.entry for stored in chunk]
            )
        ]

    def _remembered(self, shard: Shard, person: Person) -> list[dict[str, Any]]:
        rows = []
        for key in self._traces.punches(shard, person):
            device_id, _, _ = split_punches(key)
            for instant, stored in self._connection.redis.hgetall(key).items():
                revision, *values = stored.decode().split("\x1f")
                rows.append(
                    {
                        "device_id": device_id,
                        "at": _iso(int(instant)),
                        "revision": int(revision),
                        "values": values,
                    }
                )
        return rows

    def _attendance(self, shard: Shard, person: Person) -> list[dict[str, Any]]:
        """The index of the attendance view: punches, days (of UTC), and what was or is to be published of days."""
        client = self._connection.redis
        rows: list[dict[str, Any]] = []
        for key, names in self._traces.weeks(shard, person):
            for name, value in zip(names, client.hmget(key, names), strict=True) if names else ():
                if value is not None:
                    _, mark = read_mark(name, value)
                    zone = timezone(timedelta(seconds=mark.offset))
                    at = datetime.fromtimestamp(mark.at, zone).isoformat()
                    rows.append(
                        {"kind": "punch", "device_id": mark.device_id, "at": at, "direction": mark.direction}
                    )
        for key, names in self._traces.days(shard, person):
            day = _iso(int(_last(key)) * 86_400)[:10]
            rows += [
                {"kind": "day", "date": day, "device_id": name.decode().rpartition("\x1f")[2]}
                for name in names
            ]
        for name in self._traces.changed_days(shard, person).names:
            rows.append({"kind": "day to be published", "date": split_changed(name.decode())[0]})
        for key, names in self._traces.told_days(shard, person):
            for value in client.hmget(key, names) if names else ():
                revision, shows = value.decode().split(" ", 1)
                rows.append(
                    {
                        "kind": "day published",
                        "date": _last(key),
                        "revision": int(revision),
                        "shown": orjson.loads(shows),
                    }
                )
        return rows

    def _command(
        self, command_id: str, record: dict[str, Any], fields: dict[bytes, bytes], templates: bool
    ) -> dict[str, Any]:
        shown = {"command_id": command_id, **record, "status": fields[b"status"].decode()}
        if fields.get(b"result"):
            shown["result"] = orjson.loads(fields[b"result"])
        if templates and fields.get(b"payload"):
            payload = self._opened("command", fields[b"payload"], command_id)
            shown["data"] = orjson.loads(payload) if payload else None
        return shown


def _without(value: Any, user_id: str) -> Any:
    """JSON of a callback without what it says of a person."""
    if isinstance(value, list):
        left = [_without(one, user_id) for one in value]
        return [one for one in left if one not in ({}, None)]
    if not isinstance(value, dict):
        return value
    named = any(is_id(one, user_id) for name, one in value.items() if name.lower() == "userid")
    return {
        name: _without(one, user_id)
        for name, one in value.items()
        if not named or isinstance(one, dict | list)
    }


def _last(key: bytes) -> str:
    return key.decode().rpartition(":")[2]


def _iso(seconds: int) -> str:
    return received_iso(datetime.fromtimestamp(seconds, UTC))
