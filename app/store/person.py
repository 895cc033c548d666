"""All that is kept of one person: erased everywhere, or shown as one document. What is where is in `kept`.

A person is a user ID, on one device or on all of them. A user ID that two people have on two devices is told apart by
the device only.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from app.store.attendance_index import split_changed, split_pair
from app.store.codec import Codec, split_link
from app.store.connection import Connection
from app.store.devices import Device, Devices
from app.store.keys import EMPLOYEES, SUBSCRIPTIONS, Shard
from app.store.outcomes import CommandKeys
from app.store.users import Users
from app.vault import SealError

_CHUNK = 500
_GLOB = str.maketrans({letter: f"\\{letter}" for letter in "*?[]^\\"})
_UNRECOGNISED = "callback.unrecognised"

_Event = tuple[str, dict[str, Any]]  # entry, and the flat event as stored


class Persons:
    """What is kept of people, whichever module keeps it."""

    def __init__(self, connection: Connection, devices: Devices, users: Users, codec: Codec) -> None:
        self._connection = connection
        self._devices = devices
        self._users = users
        self._codec = codec
        self._drop_empty = connection.script("drop_empty")

    # Erasing

    def forget(self, user_id: str, device_id: str | None = None) -> dict[str, int]:
        """Erases a person, on one device or on all; how many of what. It may be called again.

        The user's record goes first, so that no event made from then on has the name. What comes from a device later
        is kept like anything else.
        """
        erased: Counter[str] = Counter()
        for device in self._of(device_id):
            self._forget_user(device, user_id, erased)
        for shard in self._connection.shards:
            self._forget_events(shard, user_id, device_id, erased)
            self._forget_punches(shard, user_id, device_id, erased)
            self._forget_commands(shard, user_id, device_id, erased)
            self._forget_attendance(shard, user_id, device_id, erased)
        if device_id is None:
            erased["employees"] += self._connection.redis.hdel(EMPLOYEES, user_id)
        return dict(sorted(erased.items()))

    def _of(self, device_id: str | None) -> list[Device]:
        wanted = self._devices.ids() if device_id is None else [device_id]
        return [device for device in map(self._devices.refresh, wanted) if device is not None]

    def _forget_user(self, device: Device, user_id: str, erased: Counter[str]) -> None:
        client, shard = self._connection.redis, device.shard
        fields = client.hkeys(shard.user(device.id, user_id))
        pipeline = client.pipeline(transaction=True)
        pipeline.delete(shard.user(device.id, user_id))
        pipeline.zrem(shard.users(device.id), user_id)
        pipeline.hincrby(shard.device(device.id), "n", 1)  # processes remember names
        pipeline.execute()
        erased["profiles"] += b"profile" in fields
        erased["credentials"] += sum(name.startswith(b"c:") for name in fields)

    def _forget_punches(
        self, shard: Shard, user_id: str, device_id: str | None, erased: Counter[str]
    ) -> None:
        for key in self._punches(shard, user_id, device_id):
            erased["remembered punches"] += self._connection.redis.hlen(key)
            self._connection.redis.delete(key)

    def _punches(self, shard: Shard, user_id: str, device_id: str | None) -> list[bytes]:
        match = f"{shard.tag}:punches:{device_id or '*'}:{user_id.translate(_GLOB)}:*"
        found = []
        for key in self._connection.redis.scan_iter(match=match, count=1_000):
            device, _, rest = key.decode(errors="replace").split(":", 2)[2].partition(":")
            if rest.rpartition(":")[0] == user_id and device_id in (None, device):
                found.append(key)
        return found

    # Events, and what hangs on them

    def _forget_events(self, shard: Shard, user_id: str, device_id: str | None, erased: Counter[str]) -> None:
        client = self._connection.redis
        subscriptions = [name.decode() for name in client.hkeys(SUBSCRIPTIONS)]
        for chunk in _chunks(self._events(shard, user_id, device_id)):
            entries = [entry for entry, _ in chunk]
            self._forget_deliveries(shard, subscriptions, entries, erased)
            blobs = [blob for blob in (_blob(event) for _, event in chunk) if blob is not None]
            pipeline = client.pipeline(transaction=False)
            for entry, event in chunk:
                pipeline.xdel(shard.by_type(event["type"]), entry)
                if event["device_id"] is not None:
                    pipeline.xdel(shard.by_device(event["device_id"]), entry)
            for blob in blobs:
                pipeline.delete(shard.blob(blob))
            # Last: what is broken off before is found again by them.
            pipeline.xdel(shard.by_user(user_id), *entries)
            pipeline.xdel(shard.events, *entries)
            pipeline.execute()
            self._drop_empty(keys=[shard.by_user(user_id)])
            erased["events"] += len(entries)
            erased["photos"] += sum(blob.startswith("pho_") for blob in blobs)
            erased["unrecognised bodies"] += sum(blob.startswith("bod_") for blob in blobs)

    def _events(self, shard: Shard, user_id: str, device_id: str | None) -> Iterator[_Event]:
        """The person's events, and the unrecognised bodies that name the person."""
        for entry, event in self._indexed(shard, shard.by_user(user_id)):
            if event.get("user_id") == user_id and device_id in (None, event["device_id"]):
                yield entry, event
        for entry, event in self._indexed(shard, shard.by_type(_UNRECOGNISED)):
            if device_id in (None, event["device_id"]) and self._body_names(shard, event, user_id):
                yield entry, event

    def _indexed(self, shard: Shard, index: str) -> Iterator[_Event]:
        client, after = self._connection.redis, "-"
        while found := client.xrange(index, after, "+", count=_CHUNK):
            pipeline = client.pipeline(transaction=False)
            for entry, _ in found:
                pipeline.xrange(shard.events, entry, entry)
            for rows in pipeline.execute():
                for entry, fields in rows:
                    yield entry.decode(), orjson.loads(fields[b"b"])
            after = f"({found[-1][0].decode()}"

    def _body_names(self, shard: Shard, event: dict[str, Any], user_id: str) -> bool:
        body = self._opened(shard, "body", _blob(event))
        if body is None:
            return False
        try:
            return _names(orjson.loads(body), user_id)
        except orjson.JSONDecodeError:
            return user_id.encode() in body

    def _opened(self, shard: Shard, purpose: str, blob: str | None) -> bytes | None:
        sealed = self._connection.redis.get(shard.blob(blob)) if blob else None
        if sealed is None:
            return None
        try:
            return self._connection.vault.open(purpose, sealed, blob or "")
        except SealError:
            return None

    def _forget_deliveries(
        self, shard: Shard, subscriptions: list[str], entries: list[str], erased: Counter[str]
    ) -> None:
        """Takes events out of the queues, the retries, the dead letters and the batches."""
        client, gone = self._connection.redis, set(entries)
        for name in subscriptions:
            key = {
                part: shard.subscription(name, part)
                for part in ("queue", "due", "retry", "dead", "state", "batches")
            }
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
            for part in ("due", "retry", "dead"):
                pipeline.zrem(key[part], *members)
            pipeline.hdel(key["state"], *members)
            pipeline.hdel(key["batches"], *members)
            # Whoever delivers holds some in memory: they are read again.
            pipeline.xadd(shard.wake, {"forgotten": name}, maxlen=1_000)
            queued, due, retrying, dead, *_ = pipeline.execute()
            erased["deliveries"] += queued + due + retrying
            erased["dead letters"] += dead

    # Attendance

    def _forget_attendance(
        self, shard: Shard, user_id: str, device_id: str | None, erased: Counter[str]
    ) -> None:
        """Takes a person out of the attendance index. One that is on several devices goes on with the others."""
        client, tag = self._connection.redis, shard.tag
        for key in client.scan_iter(match=f"{tag}:attendance:week:*", count=1_000):
            if key.decode(errors="replace").split(":", 3)[3].rpartition(":")[0] == user_id:
                fields = [
                    name
                    for name in client.hkeys(key)
                    if device_id in (None, name.decode().rpartition(" ")[0])
                ]
                erased["attendance"] += client.hdel(key, *fields) if fields else 0
        for key in client.scan_iter(match=f"{tag}:attendance:day:*", count=1_000):
            gone = [
                member
                for member in client.zrange(key, 0, -1)
                if split_pair(member.decode())[0] == user_id
                and device_id in (None, split_pair(member.decode())[1])
            ]
            erased["attendance"] += client.zrem(key, *gone) if gone else 0
        if device_id is None:
            changed = [
                member
                for member in client.zrange(shard.attendance_changed, 0, -1)
                if split_changed(member.decode())[1] == user_id
            ]
            erased["attendance"] += client.zrem(shard.attendance_changed, *changed) if changed else 0
            for key in client.scan_iter(match=f"{tag}:attendance:told:*", count=1_000):
                erased["attendance"] += client.hdel(key, user_id)
        for key in client.scan_iter(match=f"{tag}:commanded:{device_id or '*'}", count=1_000):
            erased["user IDs"] += client.srem(key, user_id)
        for key in client.scan_iter(match=f"{tag}:strangers:{device_id or '*'}", count=1_000):
            erased["user IDs"] += client.hdel(key, user_id)

    # Commands

    def _forget_commands(
        self, shard: Shard, user_id: str, device_id: str | None, erased: Counter[str]
    ) -> None:
        client, keys = self._connection.redis, CommandKeys(shard)
        for command_id, record, fields in self._commands(shard, device_id):
            ended = b"ended_at" in fields
            if record["user_id"] == user_id:
                if not ended:  # it is for the person's sake that it is under way
                    erased["commands under way, left"] += 1
                    continue
                client.delete(keys.command(command_id))
                erased["commands"] += 1
                continue
            result = orjson.loads(fields.get(b"result") or b"{}")
            logs = result.get("logs")
            if not isinstance(logs, list):
                continue
            left = [row for row in logs if row.get("user_id") != user_id]
            if len(left) < len(logs):
                client.hset(keys.command(command_id), "result", orjson.dumps({**result, "logs": left}))
                erased["rows of loaded logs"] += len(logs) - len(left)

    def _commands(
        self, shard: Shard, device_id: str | None
    ) -> Iterator[tuple[str, dict[str, Any], dict[bytes, bytes]]]:
        client, keys, after = self._connection.redis, CommandKeys(shard), "-"
        while found := client.xrange(keys.all, after, "+", count=_CHUNK):
            pipeline = client.pipeline(transaction=False)
            for _, fields in found:
                pipeline.hgetall(keys.command(fields[b"c"].decode()))
            for (_, named), fields in zip(found, pipeline.execute(), strict=True):
                record = orjson.loads(fields[b"record"]) if b"record" in fields else None
                if record is not None and device_id in (None, record["device_id"]):
                    yield named[b"c"].decode(), record, fields
            after = f"({found[-1][0].decode()}"

    # Showing

    def export(
        self, user_id: str, device_id: str | None = None, *, templates: bool = False
    ) -> dict[str, Any]:
        """All that is kept of a person. With `templates`, with the data of credentials and photos."""
        users = []
        for device in self._of(device_id):
            (shown,) = self._users.show(device, [user_id])
            if shown is not None:
                if templates:
                    for credential in shown["credentials"]:
                        kept = self._users.credential(
                            device, user_id, credential["credential_type"], credential["credential_index"]
                        )
                        credential["data"] = kept["data"] if kept else None
                users.append(shown)
        events, commands, remembered = [], [], 0
        for shard in self._connection.shards:
            for entry, stored in self._events(shard, user_id, device_id):
                event = self._codec.event(shard.number, entry, orjson.dumps(stored))
                if templates and stored["type"] == "attendance.photo":
                    photo = self._opened(shard, "photo", _blob(stored))
                    event["photo_data"] = photo and base64.b64encode(photo.partition(b"\n")[2]).decode()
                events.append(event)
            commands += [
                {"command_id": command_id, **record, "status": fields[b"status"].decode()}
                for command_id, record, fields in self._commands(shard, device_id)
                if record["user_id"] == user_id
            ]
            remembered += sum(map(self._connection.redis.hlen, self._punches(shard, user_id, device_id)))
        return {
            "user_id": user_id,
            "device_id": device_id,
            "users": users,
            "events": events,
            "commands": commands,
            "remembered_punches": remembered,
        }


def _blob(event: dict[str, Any]) -> str | None:
    """The id of an event's photo or unrecognised body."""
    url = event.get("photo_url") or event.get("body_url")
    return split_link(url)[1].rpartition("/")[2] if url else None


def _names(value: Any, user_id: str) -> bool:
    """Whether JSON has the user ID as a value of its own."""
    if isinstance(value, dict):
        return any(_names(one, user_id) for one in value.values())
    if isinstance(value, list):
        return any(_names(one, user_id) for one in value)
    return not isinstance(value, bool) and str(value) == user_id


def _chunks(events: Iterator[_Event]) -> Iterator[list[_Event]]:
    chunk: list[_Event] = []
    for event in events:
        chunk.append(event)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
