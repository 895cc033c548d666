"""Exports all stored data about a person as one document: everything that `erasure` would erase, found by `traces`."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson

from app.attendance.corrections import Correction
from app.base import ids
from app.base.vault import SealError
from app.events.flatten import received_iso
from app.store.archiving.past import Past
from app.store.attendance.correction_records import CorrectionRecords
from app.store.attendance.corrections import created_iso, shown
from app.store.attendance.index import read_mark, split_changed
from app.store.devices.registry import Device
from app.store.intake.punch_fields import split_punch_field
from app.store.people.device_timestamps import read_stamp
from app.store.people.employees import Employees
from app.store.people.users import DELETED, Users
from app.store.privacy.traces import Person, StoredEvent, Traces, blob, chunks, loaded_rows, split_punches
from app.store.server.codec import Codec, UnreadableEvent
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import Shard

_STATES = {
    "queue": "queued",
    "due": "due",
    "retry": "retrying",
    "dead": "dead letter",
    "batches": "in a batch",
}
_LISTS = {"users": "user of the device", "commanded": "put there by a command", "strangers": "unknown user"}


def _readable(codec: Codec, shard: int, entry: str, body: bytes | None) -> dict[str, Any] | None:
    try:
        return codec.event(shard, entry, body)
    except UnreadableEvent:
        return None


class PersonExport:
    """Exports stored data about people, from all modules."""

    def __init__(
        self,
        connection: Connection,
        users: Users,
        employees: Employees,
        codec: Codec,
        traces: Traces,
        past: Past,
    ) -> None:
        self._past = past
        self._connection = connection
        self._users = users
        self._employees = employees
        self._codec = codec
        self._traces = traces
        self._corrections = CorrectionRecords(connection)

    def export(
        self, user_id: str, device_id: str | None = None, *, templates: bool = False
    ) -> dict[str, Any]:
        """Return everything that `forget` would erase. `templates` adds the data of credentials, cards and so on.

        Raises ArchiveAway and ArchiveRefused.
        """
        person = Person(user_id, device_id)
        found: dict[str, Any] = {
            "user_id": user_id,
            "device_id": device_id,
            **self._employee_entries(person),
            "users": [
                shown
                for device in self._traces.devices(person)
                if (shown := self._user(device, user_id, templates)) is not None
            ],
        }
        lists: dict[str, list[Any]] = {
            **{"events": [], "deliveries": [], "remembered_punches": [], "attendance": [], "corrections": []},
            **{"user_id_lists": [], "commands": [], "loaded_log_rows": []},
            **{"unreadable_events": [], "unreadable_callbacks_of_anybody": []},
            "deletions": self._deletions(person),
        }
        for shard in self._connection.shards:
            for chunk in chunks(self._traces.events(shard, person)):
                lists["events"] += [self._event(shard, stored, templates) for stored in chunk]
                lists["deliveries"] += self._deliveries(shard, chunk)
            unreadable = self._traces.unreadable(shard, person)
            lists["unreadable_events"] += _public(shard, unreadable.of_person)
            lists["unreadable_callbacks_of_anybody"] += _public(shard, unreadable.of_anybody)
            lists["remembered_punches"] += self._remembered(shard, person)
            lists["attendance"] += self._attendance(shard, person)
            lists["corrections"] += self._corrections_of(shard, person)
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
        stored_ids = {event["id"] for event in lists["events"]}
        return found | lists | {"archived_events": self._archived(person, stored_ids)}

    def _archived(self, person: Person, stored_ids: set[str]) -> list[dict[str, Any]]:
        """Return the events that are only in the archive."""
        opened, shown = self._past.opened(), []
        if opened is None:
            return []
        archive, store_id = opened
        for number, entry, body in archive.of_person(store_id, *person):
            event_id = ids.event_id(number, entry)
            if event_id not in stored_ids:
                shown.append(
                    _readable(self._codec, number, entry, body) or {"id": event_id, "unreadable": True}
                )
        return shown

    def _employee_entries(self, person: Person) -> dict[str, Any]:
        """Return the person's entries in the list of employees: for all devices, and those for single devices."""
        entries = self._employees.entries(person.user_id)
        shown = [one._asdict() for one in entries if person.device_id in (None, one.device_id)]
        general = [one for one in shown if one["device_id"] is None]
        return {
            "employee": general[0] if general else None,
            "employee_on_devices": [one for one in shown if one["device_id"] is not None],
        }

    def _user(self, device: Device, user_id: str, templates: bool) -> dict[str, Any] | None:
        (shown,) = self._users.show(device, [user_id])
        for credential in shown["credentials"] if shown and templates else ():
            kept = self._users.credential(
                device, user_id, credential["credential_type"], credential["credential_index"]
            )
            credential["data"] = kept["data"] if kept else None
        return shown

    def _deletions(self, person: Person) -> list[dict[str, str]]:
        """Return when the person was deleted on devices, as far as that is stored."""
        stamps = {
            device.id: self._connection.redis.hget(device.shard.user(device.id, person.user_id), DELETED)
            for device in self._traces.devices(person)
        }
        return [
            {"device_id": device_id, "at": _iso(read_stamp(stamp).device_ms // 1000)}
            for device_id, stamp in stamps.items()
            if stamp
        ]

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
                revision, *values = stored.decode().split("\x1f")[:5]
                rows.append(
                    {
                        "device_id": device_id,
                        "at": _iso(split_punch_field(instant.decode())[0]),
                        "revision": int(revision),
                        "values": values,
                    }
                )
        return rows

    def _attendance(self, shard: Shard, person: Person) -> list[dict[str, Any]]:
        """Return the person's data in the attendance index: punches, days (in UTC), and published or changed days."""
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

    def _corrections_of(self, shard: Shard, person: Person) -> list[dict[str, Any]]:
        """Return the person's corrections, or none if they can't be decrypted."""
        ones: list[Correction] = []
        with left_out("corrections of punches"):
            _, ones = self._corrections.stored(shard, person.user_id)
        return [
            {"id": one.id, "created_at": created_iso(one), "device_id": one.device_id, **shown(one)}
            for one in ones
            if person.is_on(one.device_id)
        ]

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


def _public(shard: Shard, entries: list[str]) -> list[str]:
    return [ids.event_id(shard.number, entry) for entry in entries]


def _last(key: bytes) -> str:
    return key.decode().rpartition(":")[2]


def _iso(seconds: int) -> str:
    return received_iso(datetime.fromtimestamp(seconds, UTC))
