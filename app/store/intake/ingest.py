"""Stores the content of a callback (events, users, photos), usually with one script call (ingest.lua).

Stored values that an event depends on (a name, a revision, whether a credential is new) are cached here, and the
script checks them. If one has changed, it is read again, and the script is called again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import orjson

from app.events import flatten
from app.events.types import PUNCH_TYPES
from app.gateway import callbacks
from app.gateway.callbacks import AttendancePhoto, Callback, Punch
from app.store.counts import Counts
from app.store.devices.registry import Device, Devices
from app.store.intake.callback_items import CallbackItems
from app.store.intake.grouped_script import GroupedScript
from app.store.intake.script_call import Call, Received
from app.store.intake.unknown_shapes import UnknownShapes
from app.store.people.names import People
from app.store.people.users import Users
from app.store.server import codec
from app.store.server.connection import Connection

_PUNCHES_A_CALL = 200  # keeps a script call short, because the store does nothing else meanwhile
_TRIES = 20
_WEEK = 7 * 86_400
_SEPARATOR = "\x1f"


class DeviceChanged(Exception):
    """The device was changed or removed since it was read. Refresh it, and read the callback again."""


class KeptChanging(Exception):
    """Others changed the same data each time it was read, so the callback must be stored later."""


class _Remembered(NamedTuple):
    """A punch's stored data, and what it becomes: revision, values and stamps (see ingest.lua). Empty if new.

    `place` is 2 for an out in the same second as an earlier in, or the other way round. `overruled` has the values
    that a correction replaced, if they must first be stored as a separate punch.
    """

    stored: str = ""
    becomes: str = ""
    place: int = 1
    overruled: str = ""


_NEW = _Remembered()


@dataclass(slots=True)
class Outcome:
    """The result of storing a callback."""

    entries: list[bytes] = field(default_factory=list)  # entries of the events that were published
    duplicates: int = 0
    calls: int = 0  # script calls that stored something or found a duplicate


class Ingest:
    """Stores callbacks. This is the hot path."""

    def __init__(
        self, connection: Connection, devices: Devices, users: Users, people: People, counts: Counts
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._users = users
        self._people = people
        self._script = GroupedScript(connection, "ingest")
        settings = connection.settings
        self.retention = timedelta(days=settings.retention_days)
        self._keep = settings.retention_days * 86_400
        self._remember = settings.dedupe_days * 86_400
        self._shapes = UnknownShapes(connection, counts)

    def store(
        self, device: Device, callback: Callback, document: Any, body: bytes, receipt: flatten.Receipt
    ) -> Outcome:
        """Store a callback's facts. When this returns, they are as durable as RELAY_DURABILITY requires.

        `document` is the callback's JSON, and `body` the same as bytes. Raises DeviceChanged, KeptChanging and redis
        errors. Then nothing was stored, or only earlier calls of the script, whose events are published and will count
        as duplicates.
        """
        received = Received.of(device, callback, receipt)
        punches = [fact for fact in callback.facts if isinstance(fact, Punch)]
        others = [fact for fact in callback.facts if not isinstance(fact, Punch)]
        outcome = Outcome()
        if others or callback.problems or not punches:
            self._store_others(received, others, document, body, outcome)
        for row, chunk in _chunks(punches):
            self._store_punches(received, chunk, row, outcome)
        if callback.unused:
            self._report_unused(received, document, body, outcome)
        return outcome

    # Punches

    def _store_punches(self, received: Received, punches: list[Punch], row: int, outcome: Outcome) -> None:
        device = received.device
        known: dict[int, _Remembered] = {}
        for _ in range(_TRIES):
            self._learn_people(device, {punch.user_id for punch in punches})
            call = Call([device.shard.events, device.shard.device(device.id)])
            for position, punch in enumerate(punches, 1):
                self._add_punch(call, received, punch, row, known.get(position, _NEW))
            answer = self._run(received, device.people_version, call, outcome)
            if answer[0] == b"punches":
                for position, place, stored, becomes, overruled in answer[1:]:
                    known[position] = _Remembered(
                        stored.decode(), becomes.decode(), place, overruled.decode()
                    )
            elif answer[0] == b"names":
                _forget_people(device, answer)
            elif answer[0] == b"device":
                raise DeviceChanged(device.id)
            else:
                _note(answer, outcome)
                break
        else:
            raise KeptChanging("the store kept changing while a punch was being stored")

        waiting = [punch for position, punch in enumerate(punches, 1) if known.get(position, _NEW).overruled]
        if waiting:
            self._store_punches(received, waiting, row, outcome)

    def _add_punch(self, call: Call, received: Received, punch: Punch, row: int, known: _Remembered) -> None:
        device, at = received.device, flatten.instant(punch.at)
        shard = device.shard
        person = device.people[punch.user_id]
        if known.overruled:
            punch = _with_values(punch, known.overruled.split(_SEPARATOR))
        revision, shown = _merged(punch, known.becomes) if known.becomes else (1, punch)
        event = flatten.punch_event(
            shown, received.receipt, received.callback, received.at, person, revision, known.place
        )
        if device.direction is not None:
            event["direction"] = device.direction
        call.add(
            "punch",
            (
                shard.punches(device.id, punch.user_id, at // _WEEK),
                shard.by_type("attendance.punch"),
                shard.by_device(device.id),
                shard.by_user(punch.user_id),
            ),
            at,
            known.place,
            _row(device, punch, known),
            self._remember + _WEEK,
            known.stored,
            *_values(punch),
            _stamp(received, punch, row),
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
        content = callbacks.content_digest(document) if others or callback.problems else ""
        digest = vault.digest("content", content)
        pictured = {fact.user_id for fact in others if isinstance(fact, AttendancePhoto) and fact.user_id}
        for _ in range(_TRIES):
            self._learn_people(device, pictured)
            call = Call([device.shard.events, device.shard.device(device.id)])
            if others or callback.problems:
                operation = vault.digest("operation", callback.operation_id or "")
                call.add("seen", [device.shard.seen(device.id, f"{operation}{digest}")], self._remember)
            items = self._items(call, received, raw, digest)
            for fact in others:
                items.add(fact)
            items.finish()
            if callback.problems:
                items.add_unrecognised(body, " ".join(callback.problems[:5]))
            answer = self._run(received, device.people_version if pictured else "", call, outcome)
            if answer[0] == b"device":
                raise DeviceChanged(device.id)
            if answer[0] == b"names":
                _forget_people(device, answer)
            elif answer[0] != b"user":
                _note(answer, outcome)
                return
        raise KeptChanging("the store kept changing while a callback was being stored")

    # Fields that no reader uses

    def _report_unused(self, received: Received, document: Any, body: bytes, outcome: Outcome) -> None:
        """Store a `callback.unrecognised` with the names of fields that no reader uses, once per device and shape.

        The callback is already stored. A process asks the store only once about a shape, so this costs no further
        calls.
        """
        device, names = received.device, ", ".join(received.callback.unused)
        shape = self._connection.vault.digest("shape", f"{device.id}\n{names}")
        if self._shapes.is_known(device, shape, received.at[:10]):
            return
        seen = device.shard.seen(device.id, shape)
        if not self._connection.redis.exists(seen):
            if not self._shapes.may_be_told(device, received.at[:10]):
                return
            call = Call([device.shard.events, device.shard.device(device.id)])
            call.add("seen", [seen], self._remember)
            raw = codec.deflate(orjson.dumps(callbacks.redact_unknown(document)))
            items = self._items(call, received, raw, shape)
            items.add_unrecognised(
                body, f"The callback was processed, but these fields in it are unknown: {names}."
            )
            answer = self._run(received, "", call, outcome)
            if answer[0] == b"device":
                raise DeviceChanged(device.id)
            _note(answer, outcome)
        self._shapes.remember(shape)

    def _items(self, call: Call, received: Received, raw: bytes, tie: str) -> CallbackItems:
        return CallbackItems(
            call,
            received,
            raw,
            tie,
            vault=self._connection.vault,
            users=self._users,
            keep_seconds=self._keep,
            remember_seconds=max(self._keep, self._remember),
        )

    # Calling the script

    def _run(self, received: Received, people_version: str, call: Call, outcome: Outcome) -> list[Any]:
        counts = [part for pair in call.counts.items() for part in pair]
        arguments = [
            received.device.version,
            people_version,
            received.received_ms,
            int(outcome.calls == 0),
            len(call.counts),
            *counts,
            *call.items,
        ]
        answer: list[Any] = self._script([*call.keys, received.shard.backup], arguments)
        return answer


def _note(answer: list[Any], outcome: Outcome) -> None:
    """Note what the script stored."""
    outcome.calls += 1
    if answer[0] == b"duplicate":
        outcome.duplicates += 1
        return
    outcome.duplicates += answer[1]
    outcome.entries += answer[2:]


def _forget_people(device: Device, answer: list[Any]) -> None:
    """Forget cached people after the script answered that they have changed."""
    device.people.clear()
    device.people_version = answer[1].decode()


def _row(device: Device, punch: Punch, known: _Remembered) -> str:
    """Return the kind of a punch's row, as ingest.lua names it."""
    if known.overruled:
        return "overruled"
    if punch.changed_at is not None:  # so it was changed on the device
        return "corrects"
    return "plain" if device.direction is None else "fixed"


def _values(punch: Punch) -> tuple[str, str, str, str]:
    """Return the values that distinguish a corrected punch; empty if unknown."""
    return (
        punch.punch_type or "",
        punch.input_type or "",
        "" if punch.temperature is None else repr(punch.temperature),
        "" if punch.face_mask is None else str(int(punch.face_mask)),
    )


def _stamp(received: Received, punch: Punch, row: int) -> str:
    """Return the punch's stamp for ingest.lua. `row` distinguishes several rows for one punch in one callback."""
    device_ms = received.device_ms(punch.changed_at)
    stamp = f"{device_ms}+{received.received_ms - device_ms}"
    return f"{stamp}+{row}" if row else stamp


def _merged(punch: Punch, stored: str) -> tuple[int, Punch]:
    """Return the revision of a remembered punch, and the punch with its merged values."""
    revision, *values = stored.split(_SEPARATOR)[:5]
    return int(revision), _with_values(punch, values)


def _with_values(punch: Punch, values: list[str]) -> Punch:
    punch_type, input_type, temperature, mask = values
    return Punch(
        operation=punch.operation,
        user_id=punch.user_id,
        at=punch.at,
        punch_type=punch_type or None,
        direction=_direction(punch_type),
        input_type=input_type or None,
        temperature=float(temperature) if temperature else None,
        face_mask=mask == "1" if mask else None,
        raw=punch.raw,
    )


def _direction(punch_type: str) -> Literal["in", "out"] | None:
    if punch_type not in PUNCH_TYPES:
        return None
    return "in" if punch_type.endswith("_in") else "out"


def _chunks(punches: list[Punch]) -> Iterator[tuple[int, list[Punch]]]:
    """Yield punches in order, with their numbers, in chunks without two punches of the same user and instant."""
    chunk: list[Punch] = []
    identities: set[tuple[str, int]] = set()
    number = 0
    for punch in punches:
        identity = (punch.user_id, flatten.instant(punch.at))
        if identity in identities or len(chunk) == _PUNCHES_A_CALL:
            yield number, chunk
            number += 1
            chunk, identities = [], set()
        chunk.append(punch)
        identities.add(identity)
    if chunk:
        yield number, chunk


def _raw(document: Any, callback: Callback) -> bytes:
    """Return the gateway's JSON without secrets; for a callback that wasn't understood, only its shape."""
    blank = callbacks.redact_unknown if callback.problems else callbacks.redact
    return orjson.dumps(blank(document))
