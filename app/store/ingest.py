"""Stores what a callback brought: events, users, photos, all with one script call (ingest.lua).

What an event needs to know of the store (a name, a revision, whether a credential is new) is remembered here and
checked by the script; where it has changed, the script says so, and we read again and ask again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import orjson

from app import ids
from app.events import flatten
from app.events.types import PUNCH_TYPES
from app.gateway import callbacks
from app.gateway.callbacks import (
    AttendancePhoto,
    Callback,
    CredentialUpdated,
    Punch,
    TimeChanged,
    UserDeleted,
    UserUpdated,
)
from app.store import codec
from app.store.connection import Connection
from app.store.devices import Device, Devices
from app.store.group import GroupedScript
from app.store.people import People
from app.store.users import KnownUser, Users, credential_field

_PUNCHES_A_CALL = 200  # keeps one script call short: the store does nothing else meanwhile
_TRIES = 20
_WEEK = 7 * 86_400
_SEPARATOR = "\x1f"


class DeviceChanged(Exception):
    """The device was changed or removed since it was read: refresh it, and read the callback anew."""


@dataclass(slots=True)
class Outcome:
    """What became of a callback."""

    entries: list[bytes] = field(default_factory=list)  # of the events that were published
    duplicates: int = 0
    calls: int = 0  # of the script, that stored something or found a duplicate


@dataclass(slots=True)
class _Call:
    """Keys and arguments of one script call, growing item by item."""

    keys: list[Any]
    items: list[Any] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, keys: Sequence[str], *arguments: Any) -> None:
        self.keys.extend(keys)
        self.items.append(kind)
        self.items.extend(arguments)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


class Ingest:
    """The hot path's way into the store."""

    def __init__(self, connection: Connection, devices: Devices, users: Users, people: People) -> None:
        self._connection = connection
        self._devices = devices
        self._users = users
        self._people = people
        self._script = GroupedScript(connection, "ingest")
        settings = connection.settings
        self.retention = timedelta(days=settings.retention_days)
        self._keep = settings.retention_days * 86_400
        self._remember = settings.dedupe_days * 86_400

    def store(
        self, device: Device, callback: Callback, document: Any, body: bytes, receipt: flatten.Receipt
    ) -> Outcome:
        """Stores a callback's facts; on return they are as durable as RELAY_DURABILITY says.

        `document` is the JSON it was read from, `body` its bytes. Raises DeviceChanged, and redis errors: then
        nothing, or a part that will be told as duplicate, is stored.
        """
        received = flatten.received_iso(receipt.received_at)
        punches = [fact for fact in callback.facts if isinstance(fact, Punch)]
        others = [fact for fact in callback.facts if not isinstance(fact, Punch)]
        outcome = Outcome()
        if others or callback.problems or not punches:
            self._store_others(device, callback, others, document, body, receipt, received, outcome)
        for chunk in _chunks(punches):
            self._store_punches(device, callback, chunk, receipt, received, outcome)
        return outcome

    # Punches

    def _store_punches(
        self,
        device: Device,
        callback: Callback,
        punches: list[Punch],
        receipt: flatten.Receipt,
        received: str,
        outcome: Outcome,
    ) -> None:
        expected: dict[int, str] = {}
        for _ in range(_TRIES):
            self._learn_people(device, {punch.user_id for punch in punches})
            call = _Call([device.shard.events, device.shard.device(device.id)])
            for position, punch in enumerate(punches, 1):
                self._add_punch(call, device, callback, punch, receipt, received, expected.get(position, ""))
            answer = self._run(device, device.people_version, receipt, call, outcome)
            if answer[0] == b"punch":
                stored = answer[2].decode()
                expected[answer[1]] = stored
                if stored:
                    punches[answer[1] - 1] = _merged(punches[answer[1] - 1], stored)
            elif answer[0] == b"names":
                _forget_people(device, answer)
            elif answer[0] == b"device":
                raise DeviceChanged(device.id)
            else:
                self._note(answer, outcome)
                return
        raise RuntimeError("the store kept changing while a punch was being stored")

    def _add_punch(
        self,
        call: _Call,
        device: Device,
        callback: Callback,
        punch: Punch,
        receipt: flatten.Receipt,
        received: str,
        stored: str,
    ) -> None:
        shard, at = device.shard, flatten.instant(punch.at)
        revision = int(stored.partition(_SEPARATOR)[0]) + 1 if stored else 1
        event = flatten.punch_event(
            punch, receipt, callback, received, device.people[punch.user_id], revision
        )
        call.add(
            "punch",
            (
                shard.punches(device.id, punch.user_id, at // _WEEK),
                shard.by_type("attendance.punch"),
                shard.by_device(device.id),
                shard.by_user(punch.user_id),
            ),
            at,
            self._remember + _WEEK,
            stored,
            *_values(punch),
            int(event["clock_suspect"]),
            orjson.dumps(event),
            codec.deflate(orjson.dumps(callbacks.redact(punch.raw))),
        )

    def _learn_people(self, device: Device, user_ids: set[str]) -> None:
        unknown = user_ids - device.people.keys()
        if unknown:
            device.people.update(self._people.on_device(device, unknown))

    # Everything else

    def _store_others(
        self,
        device: Device,
        callback: Callback,
        facts: list[Any],
        document: Any,
        body: bytes,
        receipt: flatten.Receipt,
        received: str,
        outcome: Outcome,
    ) -> None:
        raw = codec.deflate(_raw(document, callback))
        pictured = {fact.user_id for fact in facts if isinstance(fact, AttendancePhoto) and fact.user_id}
        for _ in range(_TRIES):
            self._learn_people(device, pictured)
            call = _Call([device.shard.events, device.shard.device(device.id)])
            if facts or callback.problems:
                digest = self._connection.vault.digest("content", callbacks.content_digest(document))
                operation = self._connection.vault.digest("operation", callback.operation_id or "")
                call.add("seen", [device.shard.seen(device.id, f"{operation}{digest}")], self._remember)
            self._add_facts(call, device, callback, facts, receipt, received, raw)
            if callback.problems:
                self._add_unrecognised(call, device, callback, body, receipt, received, raw)
            answer = self._run(device, device.people_version if pictured else "", receipt, call, outcome)
            if answer[0] == b"device":
                raise DeviceChanged(device.id)
            if answer[0] == b"names":
                _forget_people(device, answer)
            elif answer[0] != b"user":
                self._note(answer, outcome)
                return
        raise RuntimeError("the store kept changing while a callback was being stored")

    def _add_facts(
        self,
        call: _Call,
        device: Device,
        callback: Callback,
        facts: list[Any],
        receipt: flatten.Receipt,
        received: str,
        raw: bytes,
    ) -> None:
        shard = device.shard
        touched: dict[str, _UserChange] = {}

        def change_of(user_id: str) -> _UserChange:
            if user_id not in touched:
                touched[user_id] = _UserChange(self._users.known(device, user_id))
            return touched[user_id]

        for fact in facts:
            extra = b""
            match fact:
                case AttendancePhoto():
                    photo_id = ids.random_id("pho", shard.number)
                    sealed = self._connection.vault.seal(
                        "photo", fact.mime.encode() + b"\n" + fact.data, photo_id
                    )
                    call.add("blob", [shard.blob(photo_id)], self._keep, sealed)
                    person = device.people.get(fact.user_id or "")
                    event = flatten.photo_event(
                        fact, receipt, callback, received, photo_id, person.employee_id if person else None
                    )
                case UserUpdated():
                    change = change_of(fact.user_id)
                    event = flatten.user_event(fact, receipt, callback, received, change.known.profile)
                    change.profile(event)
                case CredentialUpdated():
                    change = change_of(fact.user_id)
                    digest = self._connection.vault.digest(
                        "credential", f"{device.id}\n{fact.user_id}\n{fact.data}"
                    )
                    event = flatten.credential_event(
                        fact, receipt, callback, received, digest=digest, is_new=change.is_new(fact)
                    )
                    change.credential(fact, digest, received)
                    if fact.type == "card":
                        extra = self._connection.vault.seal(
                            "extra", orjson.dumps({"card_number": fact.data}), device.id
                        )
                case UserDeleted():
                    event = flatten.deleted_event(fact, receipt, callback, received)
                    touched.pop(fact.user_id, None)
                    call.add(
                        "forget", [shard.user(device.id, fact.user_id), shard.users(device.id)], fact.user_id
                    )
                case TimeChanged():
                    event = flatten.time_event(fact, receipt, callback, received)
                case _:
                    raise TypeError(f"no event is made of a {type(fact).__name__}")
            self._add_event(call, device, event, raw, extra)
        for user_id, change in touched.items():
            fields = change.sealed(self._users, device.id, user_id)
            call.add(
                "user",
                [shard.user(device.id, user_id), shard.users(device.id)],
                change.known.version,
                user_id,
                int(change.name_changed),
                len(fields),
                *(part for pair in fields.items() for part in pair),
            )

    def _add_event(
        self, call: _Call, device: Device, event: dict[str, Any], raw: bytes, extra: bytes = b""
    ) -> None:
        shard, user_id = device.shard, event.get("user_id")
        keys = [shard.by_type(event["type"]), shard.by_device(device.id)]
        if user_id is not None:
            keys.append(shard.by_user(user_id))
        call.add("event", keys, int(user_id is not None), orjson.dumps(event), raw, extra)

    def _add_unrecognised(
        self,
        call: _Call,
        device: Device,
        callback: Callback,
        body: bytes,
        receipt: flatten.Receipt,
        received: str,
        raw: bytes,
    ) -> None:
        body_id = ids.random_id("bod", device.shard.number)
        sealed = self._connection.vault.seal("body", body, body_id)
        call.add("blob", [device.shard.blob(body_id)], self._keep, sealed)
        event = flatten.unrecognised_event(
            receipt, callback, received, body_id, " ".join(callback.problems[:5])
        )
        self._add_event(call, device, event, raw)
        call.count("unrecognised")

    # The call itself

    def _run(
        self, device: Device, people_version: str, receipt: flatten.Receipt, call: _Call, outcome: Outcome
    ) -> list[Any]:
        counts = [part for pair in call.counts.items() for part in pair]
        arguments = [
            device.version,
            people_version,
            int(receipt.received_at.timestamp() * 1000),
            int(outcome.calls == 0),
            len(call.counts),
            *counts,
            *call.items,
        ]
        answer: list[Any] = self._script(call.keys, arguments)
        return answer

    def _note(self, answer: list[Any], outcome: Outcome) -> None:
        outcome.calls += 1
        if answer[0] == b"duplicate":
            outcome.duplicates += 1
            return
        outcome.duplicates += answer[1]
        outcome.entries += answer[2:]


class _UserChange:
    """What one callback changes of one user."""

    def __init__(self, known: KnownUser) -> None:
        self.known = known
        self.name_changed = False
        self._profile: dict[str, Any] | None = None
        self._credentials: dict[str, dict[str, Any]] = {}

    def profile(self, event: dict[str, Any]) -> None:
        profile = {name: event[name] for name in ("first_name", "last_name", "user_type")}
        before = {name: self.known.profile.get(name) for name in profile}
        self.name_changed |= profile != before
        self._profile = {**profile, "updated_at": event["received_at"]}

    def is_new(self, credential: CredentialUpdated) -> bool:
        name = credential_field(credential.type, credential.index)
        return name not in self.known.credentials and name not in self._credentials

    def credential(self, credential: CredentialUpdated, digest: str, received: str) -> None:
        self._credentials[credential_field(credential.type, credential.index)] = {
            "data": credential.data,
            "size_bytes": credential.size_bytes,
            "digest": digest,
            "updated_at": received,
        }

    def sealed(self, users: Users, device_id: str, user_id: str) -> dict[str, bytes]:
        fields = {name: users.seal(device_id, user_id, value) for name, value in self._credentials.items()}
        if self._profile is not None:
            fields["profile"] = users.seal(device_id, user_id, self._profile)
        return fields


def _forget_people(device: Device, answer: list[Any]) -> None:
    """After the script's answer that they have changed."""
    device.people.clear()
    device.people_version = answer[1].decode()


def _values(punch: Punch) -> tuple[str, str, str, str]:
    """What makes a punch sent again differ; empty where unknown."""
    return (
        punch.punch_type or "",
        punch.input_type or "",
        "" if punch.temperature is None else repr(punch.temperature),
        "" if punch.face_mask is None else str(int(punch.face_mask)),
    )


def _merged(punch: Punch, stored: str) -> Punch:
    """The punch with what was known before and is missing now."""
    _, punch_type, input_type, temperature, mask = stored.split(_SEPARATOR)
    merged_type = punch.punch_type or punch_type or None
    return Punch(
        operation=punch.operation,
        user_id=punch.user_id,
        at=punch.at,
        punch_type=merged_type,
        direction=punch.direction or _direction(merged_type),
        input_type=punch.input_type or input_type or None,
        temperature=punch.temperature
        if punch.temperature is not None or not temperature
        else float(temperature),
        face_mask=punch.face_mask if punch.face_mask is not None or not mask else mask == "1",
        raw=punch.raw,
    )


def _direction(punch_type: str | None) -> Literal["in", "out"] | None:
    if punch_type not in PUNCH_TYPES:
        return None
    return "in" if punch_type.endswith("_in") else "out"


def _chunks(punches: list[Punch]) -> Iterator[list[Punch]]:
    """Punches in their order, in chunks that hold no punch of the same user and instant twice."""
    chunk: list[Punch] = []
    identities: set[tuple[str, int]] = set()
    for punch in punches:
        identity = (punch.user_id, flatten.instant(punch.at))
        if identity in identities or len(chunk) == _PUNCHES_A_CALL:
            yield chunk
            chunk, identities = [], set()
        chunk.append(punch)
        identities.add(identity)
    if chunk:
        yield chunk


def _raw(document: Any, callback: Callback) -> bytes:
    """The gateway's own JSON without secrets; of what is not understood only the shape."""
    blank = callbacks.redact_unknown if callback.problems else callbacks.redact
    return orjson.dumps(blank(document))
