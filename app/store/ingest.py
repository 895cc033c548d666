"""Stores what a callback brought: events, users, photos, all with one script call (ingest.lua).

What an event needs to know of the store (a name, a revision, whether a credential is new) is remembered here and
checked by the script; where it has changed, the script says so, and we read again and ask again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import orjson

from app.events import flatten
from app.events.types import PUNCH_TYPES
from app.gateway import callbacks
from app.gateway.callbacks import AttendancePhoto, Callback, Punch
from app.store import codec
from app.store.connection import Connection
from app.store.devices import Device, Devices
from app.store.facts import Facts
from app.store.group import GroupedScript
from app.store.ingest_call import Call, Received
from app.store.people import People
from app.store.users import Users

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
        received = Received(device, callback, receipt, flatten.received_iso(receipt.received_at))
        punches = [fact for fact in callback.facts if isinstance(fact, Punch)]
        others = [fact for fact in callback.facts if not isinstance(fact, Punch)]
        outcome = Outcome()
        if others or callback.problems or not punches:
            self._store_others(received, others, document, body, outcome)
        for chunk in _chunks(punches):
            self._store_punches(received, chunk, outcome)
        return outcome

    # Punches

    def _store_punches(self, received: Received, punches: list[Punch], outcome: Outcome) -> None:
        device = received.device
        expected: dict[int, str] = {}
        for _ in range(_TRIES):
            self._learn_people(device, {punch.user_id for punch in punches})
            call = Call([device.shard.events, device.shard.device(device.id)])
            for position, punch in enumerate(punches, 1):
                self._add_punch(call, received, punch, expected.get(position, ""))
            answer = self._run(received, device.people_version, call, outcome)
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
                _note(answer, outcome)
                return
        raise RuntimeError("the store kept changing while a punch was being stored")

    def _add_punch(self, call: Call, received: Received, punch: Punch, stored: str) -> None:
        device, at = received.device, flatten.instant(punch.at)
        shard = device.shard
        revision = int(stored.partition(_SEPARATOR)[0]) + 1 if stored else 1
        person = device.people[punch.user_id]
        event = flatten.punch_event(punch, received.receipt, received.callback, received.at, person, revision)
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
        self, received: Received, others: list[Any], document: Any, body: bytes, outcome: Outcome
    ) -> None:
        device, callback = received.device, received.callback
        raw = codec.deflate(_raw(document, callback))
        vault = self._connection.vault
        pictured = {fact.user_id for fact in others if isinstance(fact, AttendancePhoto) and fact.user_id}
        for _ in range(_TRIES):
            self._learn_people(device, pictured)
            call = Call([device.shard.events, device.shard.device(device.id)])
            if others or callback.problems:
                digest = vault.digest("content", callbacks.content_digest(document))
                operation = vault.digest("operation", callback.operation_id or "")
                call.add("seen", [device.shard.seen(device.id, f"{operation}{digest}")], self._remember)
            facts = Facts(call, received, raw, vault=vault, users=self._users, keep_seconds=self._keep)
            for fact in others:
                facts.add(fact)
            facts.finish()
            if callback.problems:
                facts.add_unrecognised(body)
            answer = self._run(received, device.people_version if pictured else "", call, outcome)
            if answer[0] == b"device":
                raise DeviceChanged(device.id)
            if answer[0] == b"names":
                _forget_people(device, answer)
            elif answer[0] != b"user":
                _note(answer, outcome)
                return
        raise RuntimeError("the store kept changing while a callback was being stored")

    # The call itself

    def _run(self, received: Received, people_version: str, call: Call, outcome: Outcome) -> list[Any]:
        counts = [part for pair in call.counts.items() for part in pair]
        arguments = [
            received.device.version,
            people_version,
            int(received.receipt.received_at.timestamp() * 1000),
            int(outcome.calls == 0),
            len(call.counts),
            *counts,
            *call.items,
        ]
        answer: list[Any] = self._script(call.keys, arguments)
        return answer


def _note(answer: list[Any], outcome: Outcome) -> None:
    """What the script stored."""
    outcome.calls += 1
    if answer[0] == b"duplicate":
        outcome.duplicates += 1
        return
    outcome.duplicates += answer[1]
    outcome.entries += answer[2:]


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
