"""Corrects punches: stores a correction together with its event, `attendance.corrected`."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.attendance.corrections import Correction, Reported, latest, local
from app.attendance.rules import Mark
from app.base import ids
from app.events.flatten import received_iso
from app.events.types import FIELDS
from app.store.attendance.correction_records import MOST_OF_A_USER, CorrectionRecords
from app.store.attendance.index import AttendanceIndex, as_punch
from app.store.devices.registry import Device, Devices, Person
from app.store.events.query import Query
from app.store.events.reading import Events
from app.store.events.relay_events import RelayEvents
from app.store.people.names import People
from app.store.server.connection import Connection

_ATTEMPTS = 20  # only another correction of the same user comes between


class TooManyCorrections(Exception):
    """The user has as many corrections as are stored."""


class Corrections:
    """Finds punches and corrects them."""

    def __init__(
        self,
        connection: Connection,
        records: CorrectionRecords,
        devices: Devices,
        people: People,
        index: AttendanceIndex,
        events: Events,
        relay_events: RelayEvents,
    ) -> None:
        self._connection = connection
        self.records = records
        self._devices = devices
        self._people = people
        self._index = index
        self._events = events
        self._relay_events = relay_events

    def punch(self, user_id: str, punch_id: str) -> Correction | None:
        """Return a punch of a user as it counts now, in the form of a correction; None if there is none.

        Raises ArchiveAway and ArchiveRefused.
        """
        corrected = latest(self.records.of([user_id]).get(user_id, ())).get(punch_id)
        if corrected is not None:
            return corrected
        query = Query(types=("attendance.punch",), user_ids=(user_id,))
        event = next((one for one in self._events.all(query) if one["punch_id"] == punch_id), None)
        if event is None:
            return None
        mark = as_punch("0-0", event).mark
        reported = Reported(mark.at, mark.offset, mark.direction)
        return Correction("", "", user_id, mark.device_id, punch_id, *_values(reported), reported, "", "", 0)

    def offset_of(self, device_id: str) -> int | None:
        """Return the offset from UTC (s) of the device's latest punch; None if there is none.

        Raises ArchiveAway and ArchiveRefused.
        """
        query = Query(types=("attendance.punch",), device_ids=(device_id,))
        event = next(self._events.all(query), None)
        return None if event is None else as_punch("0-0", event).mark.offset

    def add(self, correction: Correction) -> tuple[Correction, bool]:
        """Store a correction and publish its event; return it, and whether it is new.

        If the latest correction of the punch already says the same, that one is returned. Raises TooManyCorrections.
        """
        device = self._devices.refresh(correction.device_id)
        shard = device.shard if device else self._connection.shards[0]
        user_id = correction.user_id
        for _ in range(_ATTEMPTS):
            before, ones = self.records.stored(shard, user_id)
            in_effect = latest(self.records.of([user_id]).get(user_id, ()))
            known = next((one for one in in_effect.values() if correction.repeats(one)), None)
            if known is not None:
                return known, False
            if len(ones) >= MOST_OF_A_USER:
                raise TooManyCorrections(user_id)
            # Not before any other of the user's, even if the clock was set back.
            newest = max((one.created_at for one in ones), default=0)
            made = replace(
                correction,
                id=ids.random_id("cor"),
                created_at=max(int(time.time() * 1000), newest + 1),
            )
            # First, so that the days are looked at again even if this process dies before it knows the result.
            former = in_effect.get(made.punch_id)
            self._index.mark_changed(shard, user_id, _marks(made) + (_marks(former) if former else []))
            new = self.records.seal(user_id, [*ones, made])
            note = (shard.corrections, user_id, before, new)
            fields = self._fields(made, device)
            if self._relay_events.publish_once("attendance.corrected", fields, note, device=device):
                return made, True
        raise RuntimeError(f"the corrections of user {user_id} change all the time")

    def _fields(self, one: Correction, device: Device | None) -> dict[str, Any]:
        """Return the fields of the event."""
        place = {} if device else {"device_id": one.device_id}
        who = self._people.on_device(device, [one.user_id])[one.user_id] if device else Person(None, None)
        fields = {
            **shown(one),
            "correction_id": one.id,
            "user_name": who.name,
            "employee_id": who.employee_id,
        }
        return {**place, **{name: fields[name] for name in FIELDS["attendance.corrected"] if name in fields}}


def shown(one: Correction) -> dict[str, Any]:
    """Return the fields that the event and the API's resource share."""
    reported = one.reported
    return {
        "kind": one.kind,
        "user_id": one.user_id,
        "punch_id": one.punch_id,
        "punched_at": local(one.at, one.offset),
        "direction": one.direction,
        "reported_at": local(reported.at, reported.offset) if reported else None,
        "reported_direction": reported.direction if reported else None,
        "reason": one.reason,
        "author": one.author,
    }


def created_iso(one: Correction) -> str:
    """Return when a correction was made."""
    return received_iso(datetime.fromtimestamp(one.created_at / 1000, UTC))


def _values(reported: Reported) -> tuple[int, int, str | None]:
    return reported.at, reported.offset, reported.direction


def _marks(one: Correction) -> list[Mark]:
    """Return the marks whose days a correction may change: the corrected one, and the reported one."""
    found = [] if one.at is None else [Mark(one.at, one.offset, one.device_id, one.direction)]
    if one.reported is not None:
        found.append(Mark(one.reported.at, one.reported.offset, one.device_id, one.reported.direction))
    return found
