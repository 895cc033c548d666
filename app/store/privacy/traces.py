"""Finds a person's data in the store, for `export` and `erasure`.

A person is a user ID, on one device or on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from app.base.vault import SealError
from app.gateway import values
from app.store.attendance.index import pair, split_changed, split_pair, told_field
from app.store.commands.keys import CommandKeys
from app.store.devices.registry import Device, Devices
from app.store.events.unreadable import EventReader
from app.store.people.employees import Employees, split_employee_field
from app.store.server.codec import split_link
from app.store.server.connection import Connection
from app.store.server.damage import readable
from app.store.server.keys import EMPLOYEES, Shard
from app.store.subscriptions.keys import owners

CHUNK = 500
_GLOB = str.maketrans({letter: f"\\{letter}" for letter in "*?[]^\\"})
_UNRECOGNISED = "callback.unrecognised"
QUEUES = ("due", "retry", "dead")  # sorted sets of deliveries


class Person(NamedTuple):
    """The person to find, on one device or on all."""

    user_id: str
    device_id: str | None

    def is_on(self, device_id: str | None) -> bool:
        return self.device_id in (None, device_id)


class StoredEvent(NamedTuple):
    """One of the person's events: its entry, the flat event as stored, and the encrypted extras."""

    entry: str
    event: dict[str, Any]
    extra: bytes | None


class Unreadable(NamedTuple):
    """Entries of unreadable events: the person's, and callbacks that may or may not be about the person."""

    of_person: list[str]
    of_anybody: list[str]


class StoredCommand(NamedTuple):
    """A command: its record, and all its stored fields."""

    id: str
    record: dict[str, Any]
    fields: dict[bytes, bytes]


class Members(NamedTuple):
    """Members of a set, or fields of a hash, that belong to the person."""

    key: bytes
    names: list[bytes]


class Traces:
    """Finds a person's data, kind by kind."""

    def __init__(self, connection: Connection, devices: Devices, reader: EventReader) -> None:
        self._connection = connection
        self._devices = devices
        self._reader = reader
        self._employees = Employees(connection, devices)

    def devices(self, person: Person) -> list[Device]:
        """Return the devices that the person may be on."""
        wanted = self._devices.ids() if person.device_id is None else [person.device_id]
        return [device for device in map(self._devices.refresh, wanted) if device is not None]

    def _keys(self, match: str) -> list[bytes]:
        """Return matching keys, sorted, because SCAN may return a key twice, and in any order."""
        return sorted(set(self._connection.redis.scan_iter(match=match, count=1_000)))

    def punches(self, shard: Shard, person: Person) -> list[bytes]:
        """Return the keys of the punches that are remembered to detect duplicates."""
        match = f"{shard.tag}:punches:{_glob(person.device_id)}:{_glob(person.user_id)}:*"
        found = []
        for key in self._keys(match):
            device_id, user_id, _ = split_punches(key)
            if user_id == person.user_id and person.is_on(device_id):
                found.append(key)
        return found

    # Events

    def events(self, shard: Shard, person: Person) -> Iterator[StoredEvent]:
        """Yield the person's events, and the unrecognised bodies that contain the user ID."""
        for found in self._indexed(shard, shard.by_user(person.user_id)):
            if found.event.get("user_id") == person.user_id and person.is_on(found.event["device_id"]):
                yield found
        for found in self._indexed(shard, shard.by_type(_UNRECOGNISED)):
            if person.is_on(found.event["device_id"]) and self._body_names(shard, found.event, person):
                yield found

    def unreadable(self, shard: Shard, person: Person) -> Unreadable:
        """Return unreadable events: the person's according to an index, and those that may be about anybody."""
        kept = [
            [entry for entry, fields in self._rows(shard, index) if self._event(shard, entry, fields) is None]
            for index in (shard.by_user(person.user_id), shard.by_type(_UNRECOGNISED))
        ]
        return Unreadable(*kept)

    def _event(self, shard: Shard, entry: str, fields: dict[bytes, bytes]) -> dict[str, Any] | None:
        return self._reader.read(shard, entry, fields.get(b"b"))

    def _indexed(self, shard: Shard, index: str) -> Iterator[StoredEvent]:
        for entry, fields in self._rows(shard, index):
            event = self._event(shard, entry, fields)
            if event is not None:
                yield StoredEvent(entry, event, fields.get(b"x"))

    def _rows(self, shard: Shard, index: str) -> Iterator[tuple[str, dict[bytes, bytes]]]:
        client, after = self._connection.redis, "-"
        while found := client.xrange(index, after, "+", count=CHUNK):
            pipeline = client.pipeline(transaction=False)
            for entry, _ in found:
                pipeline.xrange(shard.events, entry, entry)
            for rows in pipeline.execute():
                for entry, fields in rows:
                    yield entry.decode(), fields
            after = f"({found[-1][0].decode()}"

    def _body_names(self, shard: Shard, event: dict[str, Any], person: Person) -> bool:
        body = self.opened(shard, "body", blob(event))
        if body is None:
            return False
        try:
            return _names(orjson.loads(body), person.user_id)
        except orjson.JSONDecodeError:
            return person.user_id.encode() in body

    def opened(self, shard: Shard, purpose: str, blob_id: str | None) -> bytes | None:
        """Decrypt a photo or a body; None if it is gone, or encrypted with another key."""
        sealed = self._connection.redis.get(shard.blob(blob_id)) if blob_id else None
        if sealed is None:
            return None
        try:
            return self._connection.vault.open(purpose, sealed, blob_id or "")
        except SealError:
            return None

    # Deliveries

    def subscriptions(self) -> list[str]:
        return sorted(owners(self._connection))

    def deliveries(self, shard: Shard, entries: list[str]) -> Iterator[tuple[str, str, str, str | None]]:
        """Yield the waiting deliveries of events: subscription, entry, the queue, and the batch."""
        client = self._connection.redis
        for name in self.subscriptions():
            key = {part: shard.subscription(name, part) for part in ("queue", *QUEUES, "batches")}
            pipeline = client.pipeline(transaction=False)
            for entry in entries:
                pipeline.xrange(key["queue"], entry, entry)
                for part in QUEUES:
                    pipeline.zscore(key[part], entry)
            answers = iter(readable(pipeline.execute(raise_on_error=False), (None,)))
            for entry in entries:
                for part in ("queue", *QUEUES):
                    if next(answers) not in (None, []):
                        yield name, entry, part, None
            wanted = set(entries)
            for batch, stored in self.batches(key["batches"]).items():
                for entry in wanted.intersection(stored.decode().split()):
                    yield name, entry, "batches", batch.decode()

    def batches(self, key: str) -> dict[bytes, bytes]:
        """Return a subscription's batches, by name; none if its stored data is damaged."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        pipeline.hgetall(key)
        found: dict[bytes, bytes] = readable(pipeline.execute(raise_on_error=False), ({},))[0]
        return found

    # Attendance

    def weeks(self, shard: Shard, person: Person) -> Iterator[Members]:
        """Yield the punches in the attendance index: fields of its weeks."""
        client = self._connection.redis
        match = f"{shard.tag}:attendance:week:{_glob(person.user_id)}:*"
        for key in self._keys(match):
            if key.decode(errors="replace").split(":", 3)[3].rpartition(":")[0] == person.user_id:
                names = [name for name in client.hkeys(key) if person.is_on(name.decode().rpartition(" ")[0])]
                yield Members(key, names)

    def days(self, shard: Shard, person: Person) -> Iterator[Members]:
        """Yield the days on which the person punched: members of each."""
        for key in self._keys(f"{shard.tag}:attendance:day:*"):
            names = []
            for member in self._connection.redis.zrange(key, 0, -1):
                user_id, device_id = split_pair(member.decode())
                if user_id == person.user_id and person.is_on(device_id):
                    names.append(member)
            yield Members(key, names)

    def changed_days(self, shard: Shard, person: Person) -> Members:
        """Return the changed days that are to be published. They are for all devices together."""
        key = shard.attendance_changed
        found = self._connection.redis.zrange(key, 0, -1) if person.device_id is None else []
        mine = [member for member in found if split_changed(member.decode())[1] == person.user_id]
        return Members(key.encode(), mine)

    def employee_entries(self, person: Person) -> list[bytes]:
        """Return the fields of the person's entries in the list of employees, for the devices in question."""
        return self._entries(person)[0]

    def _entries(self, person: Person) -> tuple[list[bytes], list[bytes]]:
        """Return a user ID's fields in the list of employees: those for the devices in question, and the others."""
        meant: list[bytes] = []
        others: list[bytes] = []
        for field in self._connection.redis.hkeys(EMPLOYEES):
            user_id, device_id = split_employee_field(field.decode())
            if user_id == person.user_id:
                (meant if person.device_id in (None, device_id) else others).append(field)
        return meant, others

    def told_days(self, shard: Shard, person: Person) -> Iterator[Members]:
        """Yield the days that were published.

        Those of a user ID are for all devices together; those of an employee for the devices in the list of employees.
        If one device is in question, they are the person's unless other entries of the user ID have the employee ID.
        """
        try:
            others = self._others_told(person)
        except SealError:  # it isn't known who the others are
            return
        client, name = self._connection.redis, person.user_id.encode()
        of_an_employee = pair(person.user_id, "").encode()
        for key in self._keys(f"{shard.tag}:attendance:told:*"):
            yield Members(
                key,
                [
                    one
                    for one in client.hkeys(key)
                    if (one == name and person.device_id is None)
                    or (one.startswith(of_an_employee) and one not in others)
                ],
            )

    def _others_told(self, person: Person) -> set[bytes]:
        """Return the fields of employees with the user ID on other devices, also in the form of earlier versions."""
        found = set()
        for field in self._entries(person)[1]:
            one = self._employees.get(*split_employee_field(field.decode()))
            if one is not None:
                found.add(told_field(self._connection.vault, one.user_id, one.employee_id).encode())
                found.add(pair(one.user_id, one.employee_id).encode())
        return found

    def lists(self, shard: Shard, person: Person) -> Iterator[tuple[str, bytes]]:
        """Yield the devices' lists that contain the user ID: `users`, `commanded` or `strangers`, and the key."""
        client, name = self._connection.redis, person.user_id
        has: dict[str, Callable[[bytes], bool]] = {
            "users": lambda key: client.zscore(key, name) is not None,
            "commanded": lambda key: client.sismember(key, name),
            "strangers": lambda key: client.hexists(key, name),
        }
        for kind, is_in in has.items():
            for key in self._keys(f"{shard.tag}:{kind}:{_glob(person.device_id)}"):
                if is_in(key):
                    yield kind, key

    # Commands

    def commands(self, shard: Shard, person: Person) -> Iterator[StoredCommand]:
        """Yield all commands of the devices, whoever they are about."""
        client, keys, after = self._connection.redis, CommandKeys(shard), "-"
        while found := client.xrange(keys.all, after, "+", count=CHUNK):
            pipeline = client.pipeline(transaction=False)
            for _, fields in found:
                pipeline.hgetall(keys.command(fields[b"c"].decode()))
            answers = readable(pipeline.execute(raise_on_error=False), ({},))
            for (_, named), fields in zip(found, answers, strict=True):
                record = _record(fields)
                if record is not None and person.is_on(record["device_id"]):
                    yield StoredCommand(named[b"c"].decode(), record, fields)
            after = f"({found[-1][0].decode()}"


def _record(fields: dict[bytes, bytes]) -> dict[str, Any] | None:
    """Return a command's record; None if it is gone or can't be read."""
    try:
        record = orjson.loads(fields[b"record"])
    except (ValueError, LookupError, TypeError):
        return None
    return record if isinstance(record, dict) and {"device_id", "user_id"} <= record.keys() else None


def _glob(text: str | None) -> str:
    return "*" if text is None else text.translate(_GLOB)


def split_punches(key: bytes) -> tuple[str, str, str]:
    """Return the device, user and week in a key of remembered punches."""
    device_id, _, rest = key.decode(errors="replace").split(":", 2)[2].partition(":")
    user_id, _, week = rest.rpartition(":")
    return device_id, user_id, week


def blob(event: dict[str, Any]) -> str | None:
    """Return the ID of an event's photo or unrecognised body."""
    url = event.get("photo_url") or event.get("body_url")
    return split_link(url)[1].rpartition("/")[2] if url else None


def loaded_rows(fields: dict[bytes, bytes]) -> list[dict[str, Any]]:
    """Return the punches in the result of a command that loaded a device's log."""
    try:
        logs = orjson.loads(fields.get(b"result") or b"{}").get("logs")
    except (ValueError, AttributeError):
        return []
    return [row for row in logs if isinstance(row, dict)] if isinstance(logs, list) else []


def is_id(value: Any, user_id: str) -> bool:
    """Return whether a value in a callback's JSON is the user ID, read as in callbacks: 7 and 7.0 are "7"."""
    try:
        return values.identifier(value) == user_id
    except ValueError:
        return False


def _names(value: Any, user_id: str) -> bool:
    """Return whether JSON has the user ID as a separate value, maybe with blanks: its meaning isn't known."""
    if isinstance(value, dict):
        return any(_names(one, user_id) for one in value.values())
    if isinstance(value, list):
        return any(_names(one, user_id) for one in value)
    return is_id(value, user_id) or (isinstance(value, str) and values.clean(value) == values.clean(user_id))


def chunks(events: Iterable[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """Yield the items in chunks."""
    chunk: list[StoredEvent] = []
    for event in events:
        chunk.append(event)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
