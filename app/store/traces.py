"""Where a person is found in the store. What `person` shows and what it erases are both read from here.

A person is a user ID, on one device or on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from app.gateway import values
from app.store.attendance_index import split_changed, split_pair
from app.store.codec import split_link
from app.store.connection import Connection
from app.store.devices import Device, Devices
from app.store.keys import SUBSCRIPTIONS, Shard
from app.store.outcomes import CommandKeys
from app.vault import SealError

CHUNK = 500
_GLOB = str.maketrans({letter: f"\\{letter}" for letter in "*?[]^\\"})
_UNRECOGNISED = "callback.unrecognised"
QUEUES = ("due", "retry", "dead")  # sorted sets of deliveries


class Person(NamedTuple):
    """Whom to look for; on all devices without one."""

    user_id: str
    device_id: str | None

    def is_on(self, device_id: str | None) -> bool:
        return self.device_id in (None, device_id)


class StoredEvent(NamedTuple):
    """An event of the person's: its entry, the flat event as stored, and what is sealed beside it."""

    entry: str
    event: dict[str, Any]
    extra: bytes | None


class StoredCommand(NamedTuple):
    """A command: its record, and all fields that are kept of it."""

    id: str
    record: dict[str, Any]
    fields: dict[bytes, bytes]


class Members(NamedTuple):
    """Members of a set or fields of a hash that are the person's."""

    key: bytes
    names: list[bytes]


class Traces:
    """Finds what is kept of a person, kind by kind."""

    def __init__(self, connection: Connection, devices: Devices) -> None:
        self._connection = connection
        self._devices = devices

    def devices(self, person: Person) -> list[Device]:
        """The devices that the person may be on."""
        wanted = self._devices.ids() if person.device_id is None else [person.device_id]
        return [device for device in map(self._devices.refresh, wanted) if device is not None]

    def _keys(self, match: str) -> list[bytes]:
        """SCAN may name a key twice, and in any order."""
        return sorted(set(self._connection.redis.scan_iter(match=match, count=1_000)))

    def punches(self, shard: Shard, person: Person) -> list[bytes]:
        """The keys of the punches that are remembered to tell duplicates."""
        match = f"{shard.tag}:punches:{_glob(person.device_id)}:{_glob(person.user_id)}:*"
        found = []
        for key in self._keys(match):
            device_id, user_id, _ = split_punches(key)
            if user_id == person.user_id and person.is_on(device_id):
                found.append(key)
        return found

    # Events

    def events(self, shard: Shard, person: Person) -> Iterator[StoredEvent]:
        """The person's events, and the unrecognised bodies that name the person."""
        for found in self._indexed(shard, shard.by_user(person.user_id)):
            if found.event.get("user_id") == person.user_id and person.is_on(found.event["device_id"]):
                yield found
        for found in self._indexed(shard, shard.by_type(_UNRECOGNISED)):
            if person.is_on(found.event["device_id"]) and self._body_names(shard, found.event, person):
                yield found

    def _indexed(self, shard: Shard, index: str) -> Iterator[StoredEvent]:
        client, after = self._connection.redis, "-"
        while found := client.xrange(index, after, "+", count=CHUNK):
            pipeline = client.pipeline(transaction=False)
            for entry, _ in found:
                pipeline.xrange(shard.events, entry, entry)
            for rows in pipeline.execute():
                for entry, fields in rows:
                    yield StoredEvent(entry.decode(), orjson.loads(fields[b"b"]), fields.get(b"x"))
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
        """A photo or a body; None where it is gone, or sealed under another key."""
        sealed = self._connection.redis.get(shard.blob(blob_id)) if blob_id else None
        if sealed is None:
            return None
        try:
            return self._connection.vault.open(purpose, sealed, blob_id or "")
        except SealError:
            return None

    # Deliveries

    def subscriptions(self) -> list[str]:
        return [name.decode() for name in self._connection.redis.hkeys(SUBSCRIPTIONS)]

    def deliveries(self, shard: Shard, entries: list[str]) -> Iterator[tuple[str, str, str, str | None]]:
        """What is still to be done with events: subscription, entry, where it is queued, and its batch."""
        client = self._connection.redis
        for name in self.subscriptions():
            key = {part: shard.subscription(name, part) for part in ("queue", *QUEUES, "batches")}
            pipeline = client.pipeline(transaction=False)
            for entry in entries:
                pipeline.xrange(key["queue"], entry, entry)
                for part in QUEUES:
                    pipeline.zscore(key[part], entry)
            answers = iter(pipeline.execute())
            for entry in entries:
                for part in ("queue", *QUEUES):
                    if next(answers) not in (None, []):
                        yield name, entry, part, None
            wanted = set(entries)
            for batch, stored in client.hgetall(key["batches"]).items():
                for entry in wanted.intersection(stored.decode().split()):
                    yield name, entry, "batches", batch.decode()

    # Attendance

    def weeks(self, shard: Shard, person: Person) -> Iterator[Members]:
        """The punches in the attendance index: fields of its weeks."""
        client = self._connection.redis
        match = f"{shard.tag}:attendance:week:{_glob(person.user_id)}:*"
        for key in self._keys(match):
            if key.decode(errors="replace").split(":", 3)[3].rpartition(":")[0] == person.user_id:
                names = [name for name in client.hkeys(key) if person.is_on(name.decode().rpartition(" ")[0])]
                yield Members(key, names)

    def days(self, shard: Shard, person: Person) -> Iterator[Members]:
        """The days on which the person punched: members of each."""
        for key in self._keys(f"{shard.tag}:attendance:day:*"):
            names = []
            for member in self._connection.redis.zrange(key, 0, -1):
                user_id, device_id = split_pair(member.decode())
                if user_id == person.user_id and person.is_on(device_id):
                    names.append(member)
            yield Members(key, names)

    def changed_days(self, shard: Shard, person: Person) -> Members:
        """The days whose change is to be published. They are of all devices together."""
        key = shard.attendance_changed
        found = self._connection.redis.zrange(key, 0, -1) if person.device_id is None else []
        mine = [member for member in found if split_changed(member.decode())[1] == person.user_id]
        return Members(key.encode(), mine)

    def told_days(self, shard: Shard, person: Person) -> Iterator[Members]:
        """The days that were published. They, too, are of all devices together."""
        client, name = self._connection.redis, person.user_id.encode()
        if person.device_id is None:
            for key in self._keys(f"{shard.tag}:attendance:told:*"):
                yield Members(key, [name] if client.hexists(key, name) else [])

    def lists(self, shard: Shard, person: Person) -> Iterator[tuple[str, bytes]]:
        """The devices' lists of user IDs that have the person's: `users`, `commanded` or `strangers`, and the key."""
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
        """All commands of the devices, whomever they are about."""
        client, keys, after = self._connection.redis, CommandKeys(shard), "-"
        while found := client.xrange(keys.all, after, "+", count=CHUNK):
            pipeline = client.pipeline(transaction=False)
            for _, fields in found:
                pipeline.hgetall(keys.command(fields[b"c"].decode()))
            for (_, named), fields in zip(found, pipeline.execute(), strict=True):
                record = orjson.loads(fields[b"record"]) if b"record" in fields else None
                if record is not None and person.is_on(record["device_id"]):
                    yield StoredCommand(named[b"c"].decode(), record, fields)
            after = f"({found[-1][0].decode()}"


def _glob(text: str | None) -> str:
    return "*" if text is None else text.translate(_GLOB)


def split_punches(key: bytes) -> tuple[str, str, str]:
    """Device, user and week of a key of remembered punches."""
    device_id, _, rest = key.decode(errors="replace").split(":", 2)[2].partition(":")
    user_id, _, week = rest.rpartition(":")
    return device_id, user_id, week


def blob(event: dict[str, Any]) -> str | None:
    """The id of an event's photo or unrecognised body."""
    url = event.get("photo_url") or event.get("body_url")
    return split_link(url)[1].rpartition("/")[2] if url else None


def loaded_rows(fields: dict[bytes, bytes]) -> list[dict[str, Any]]:
    """The punches in the result of a command that loaded a device's log."""
    logs = orjson.loads(fields.get(b"result") or b"{}").get("logs")
    return logs if isinstance(logs, list) else []


def is_id(value: Any, user_id: str) -> bool:
    """Whether a value of a callback's JSON is the user ID, as callbacks are read: " 7 " and 7.0 are "7"."""
    try:
        return values.identifier(value) == user_id
    except ValueError:
        return False


def _names(value: Any, user_id: str) -> bool:
    """Whether JSON has the user ID as a value of its own."""
    if isinstance(value, dict):
        return any(_names(one, user_id) for one in value.values())
    if isinstance(value, list):
        return any(_names(one, user_id) for one in value)
    return is_id(value, user_id)


def chunks(events: Iterable[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """The same, a chunk at a time."""
    chunk: list[StoredEvent] = []
    for event in events:
        chunk.append(event)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
