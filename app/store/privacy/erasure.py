"""Erases all stored data about a person.

`traces` finds the data, also for `export`, and a test checks that both agree. If two people have the same user ID on
two devices, only the device distinguishes them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from app.events.types import EVENT_TYPES
from app.store.archiving.past import Past
from app.store.attendance.correction_records import CorrectionRecords
from app.store.commands.keys import CommandKeys
from app.store.devices.registry import Device, Devices
from app.store.privacy.scrub import NotWritten, Scrub
from app.store.privacy.traces import (
    QUEUES,
    Person,
    StoredEvent,
    Traces,
    blob,
    chunks,
    is_id,
    loaded_rows,
)
from app.store.server.codec import deflate, inflate
from app.store.server.connection import Connection
from app.store.server.damage import left_out, readable
from app.store.server.keys import EMPLOYEES, WRONG_TYPES, Shard


class PersonErasure:
    """Erases stored data about people, in all modules."""

    def __init__(self, connection: Connection, devices: Devices, traces: Traces, past: Past) -> None:
        self._past = past
        self._connection = connection
        self._devices = devices
        self._traces = traces
        self._scrub = Scrub(connection)
        self._corrections = CorrectionRecords(connection)
        self._drop_empty = connection.script("drop_empty")
        self._swap = connection.script("swap")

    def forget(self, user_id: str, device_id: str | None = None) -> dict[str, int]:
        """Erase a person, on one device or on all; return how many of each kind. It may be called again.

        The user's record goes first, so that new events don't contain the name, and with it the notes about deletions
        on the device. Callbacks that a device sends later are kept like any others, even if they are about earlier
        events. Raises scrub.NotWritten if everything is erased, but the store's blocks could not be rewritten. Raises
        ArchiveAway and ArchiveRefused before anything is erased, or if only the archive's events are left.
        """
        person, erased = Person(user_id, device_id), Counter[str]()
        archived = self._past.opened()
        if archived is not None:
            archive, store_id = archived
            archive.claim(store_id)
            archive.check()
        self._places: list[tuple[int, str]] = []
        entries = self._traces.employee_entries(person)
        if entries:
            erased["employees"] += self._connection.redis.hdel(EMPLOYEES, *entries)
            self._devices.forget_people()
        for device in self._traces.devices(person):
            self._forget_user(device, person, erased)
        for shard in self._connection.shards:
            self._forget_punches(shard, person, erased)
            self._forget_commands(shard, person, erased)
            self._forget_attendance(shard, person, erased)
            self._forget_lists(shard, person, erased)
            erased["corrections of punches"] += self._corrections.remove(
                shard, person.user_id, lambda one: person.is_on(one.device_id)
            )
            if person.device_id is None:  # those that can't be read
                with left_out("corrections of punches"):
                    self._connection.redis.hdel(shard.corrections, person.user_id)
            self._connection.redis.delete(shard.backup)  # a backup in progress must start again
        # Names of keys. If one is still wrong, it is noted again when it is found.
        self._connection.redis.delete(WRONG_TYPES)
        not_written: NotWritten | None = None
        for shard in self._connection.shards:
            try:
                self._forget_events(shard, person, erased)
            except NotWritten as error:
                not_written = error
        if archived is not None:
            erased["archived events"] += archive.forget(store_id, user_id, device_id, self._places)
        if not_written is not None:
            raise not_written
        return dict(sorted(erased.items()))

    def _forget_user(self, device: Device, person: Person, erased: Counter[str]) -> None:
        client, shard, user_id = self._connection.redis, device.shard, person.user_id
        fields = client.hkeys(shard.user(device.id, user_id))
        pipeline = client.pipeline(transaction=True)
        pipeline.delete(shard.user(device.id, user_id))
        pipeline.zrem(shard.users(device.id), user_id)
        pipeline.hincrby(shard.device(device.id), "n", 1)  # processes cache names
        pipeline.execute()
        erased["profiles"] += b"profile" in fields
        erased["credentials"] += sum(name.startswith(b"c:") for name in fields)

    def _forget_punches(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        for key in self._traces.punches(shard, person):
            erased["remembered punches"] += self._connection.redis.hlen(key)
            self._connection.redis.delete(key)

    # Events, and data that belongs to them

    def _forget_events(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        # Before they are erased, because the others are found by them.
        others = self._raws_of_others(shard, person)
        if others:
            self._scrub.run(shard, others)
            erased["places in others' callbacks"] += len(others)
        before = erased.total()
        for chunk in chunks(self._traces.events(shard, person)):
            self._forget_chunk(shard, person, chunk, erased)
        self._forget_unreadable(shard, person, erased)
        if erased.total() > before:
            self._scrub.run(shard)

    def _forget_unreadable(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        """Erase unreadable events that are the person's according to the index, which doesn't contain the device."""
        entries, of_anybody = self._traces.unreadable(shard, person)
        if of_anybody:
            erased["unrecognised callbacks that can't be read, not erased"] += len(of_anybody)
        if entries and person.device_id is not None:
            erased[
                "events that can't be read, not erased; to erase them, forget the person on all devices"
            ] += len(entries)
        elif entries:
            self._forget_deliveries(shard, entries, erased)
            pipeline = self._connection.redis.pipeline(transaction=False)
            for event_type in EVENT_TYPES:
                pipeline.xdel(shard.by_type(event_type), *entries)
            pipeline.xdel(shard.by_user(person.user_id), *entries)
            pipeline.xdel(shard.events, *entries)
            pipeline.execute()
            self._drop_empty(keys=[shard.by_user(person.user_id)])
            erased["events that could not be read"] += len(entries)

    def _forget_chunk(
        self, shard: Shard, person: Person, chunk: list[StoredEvent], erased: Counter[str]
    ) -> None:
        entries = [found.entry for found in chunk]
        self._places += [(shard.number, entry) for entry in entries]
        self._forget_deliveries(shard, entries, erased)
        blobs = [name for name in (blob(found.event) for found in chunk) if name is not None]
        pipeline = self._connection.redis.pipeline(transaction=False)
        for entry, event, _ in chunk:
            pipeline.xdel(shard.by_type(event["type"]), entry)
            if event["device_id"] is not None:
                pipeline.xdel(shard.by_device(event["device_id"]), entry)
        for name in blobs:
            pipeline.delete(shard.blob(name))
        # Last, because they are needed to continue after an interruption.
        pipeline.xdel(shard.by_user(person.user_id), *entries)
        pipeline.xdel(shard.events, *entries)
        pipeline.execute()
        self._drop_empty(keys=[shard.by_user(person.user_id)])
        erased["events"] += len(entries)
        erased["photos"] += sum(name.startswith("pho_") for name in blobs)
        erased["unrecognised bodies"] += sum(name.startswith("bod_") for name in blobs)

    def _raws_of_others(self, shard: Shard, person: Person) -> dict[str, bytes]:
        """Return events of other people that came in one callback with the person's, and the rest of it to keep."""
        client, found = self._connection.redis, {}
        mine = {stored.entry for stored in self._traces.events(shard, person)}
        for at in sorted({entry.partition("-")[0] for entry in mine}):
            rows = client.xrange(shard.events, at, at)
            raws = {fields.get(b"r") for entry, fields in rows if entry.decode() in mine} - {b"", None}
            for entry, fields in rows:
                if entry.decode() not in mine and fields.get(b"r") in raws:
                    found[entry.decode()] = deflate(orjson.dumps(_rest(fields[b"r"], person.user_id)))
        return found

    def _forget_deliveries(self, shard: Shard, entries: list[str], erased: Counter[str]) -> None:
        """Remove events from the queues, the retries, the dead letters and the batches."""
        client, gone = self._connection.redis, set(entries)
        for name in self._traces.subscriptions():
            key = {
                part: shard.subscription(name, part)
                for part in ("queue", *QUEUES, "state", "batches", "answers")
            }
            emptied, answered = [], []
            for batch, stored in self._traces.batches(key["batches"]).items():
                left = [entry for entry in stored.decode().split() if entry not in gone]
                if len(left) < len(stored.split()):
                    answered.append(batch.decode())  # the target may have repeated anything of it
                if not left:
                    emptied.append(batch.decode())
                elif len(left) < len(stored.split()):
                    # Unless it was delivered meanwhile, or its subscription deleted.
                    self._swap(keys=[key["batches"]], args=[batch, stored, " ".join(left)])
                    erased["places in batches"] += len(stored.split()) - len(left)
            members = [*entries, *emptied]
            pipeline = client.pipeline(transaction=False)
            pipeline.xdel(key["queue"], *entries)
            for part in QUEUES:
                pipeline.zrem(key[part], *members)
            pipeline.hdel(key["state"], *members)
            pipeline.hdel(key["batches"], *members)
            pipeline.hdel(key["answers"], *entries, *answered)
            # The dispatcher has some in memory, and must read them again.
            pipeline.xadd(shard.wake, {"forgotten": name}, maxlen=1_000)
            queued, due, retrying, dead, *_ = readable(pipeline.execute(raise_on_error=False), (0,))
            erased["deliveries"] += queued + due + retrying
            erased["dead letters"] += dead

    # Attendance, and lists of user IDs

    def _forget_attendance(self, shard: Shard, person: Person, erased: Counter[str]) -> None:
        """Remove a person from the attendance index. If they use several devices, the other devices' data stays."""
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
                if b"ended_at" not in command.fields:  # it is under way for this person
                    erased["commands under way, left"] += 1
                    continue
                client.delete(keys.command(command.id))
                erased["commands"] += 1
                continue
            logs = loaded_rows(command.fields)
            left = [row for row in logs if row.get("user_id") != person.user_id]
            if len(left) < len(logs):
                stored = command.fields[b"result"]
                result = orjson.dumps({**orjson.loads(stored), "logs": left})
                # Unless it has expired meanwhile.
                self._swap(keys=[keys.command(command.id)], args=["result", stored, result])
                erased["rows of loaded logs"] += len(logs) - len(left)


def _rest(raw: bytes, user_id: str) -> Any:
    """Return the rest of a callback without a person; nothing if it can't be read."""
    try:
        return _without(orjson.loads(inflate(raw)), user_id)
    except ValueError:
        return {}


def _without(value: Any, user_id: str) -> Any:
    """Return a callback's JSON without the data about a person."""
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
