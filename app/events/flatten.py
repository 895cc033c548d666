"""Turns the facts of a callback into flat events, without the ID that the store will give them.

Pure: values that depend on stored data (names, revisions, is_new) are arguments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from app.gateway import clock
from app.gateway.callbacks import (
    AttendancePhoto,
    Callback,
    CredentialUpdated,
    Punch,
    TimeChanged,
    UserDeleted,
    UserUpdated,
)

LATE_AFTER_SECONDS = 300
AHEAD_SUSPECT = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The device of a callback, and when it was received."""

    device_id: str
    device_label: str | None
    device_serial: str | None
    received_at: datetime
    retention: timedelta
    base_url: str


def received_iso(at: datetime) -> str:
    """Return a time in UTC with milliseconds: `2026-11-24T03:31:46.120Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def common(
    event_type: str,
    receipt: Receipt,
    callback: Callback,
    operation: str | None,
    at: datetime | None,
    received: str,
) -> dict[str, Any]:
    """Return the fields that all events share, except the ID."""
    occurred = at or callback.time
    return {
        "type": event_type,
        "occurred_at": clock.iso(occurred) if occurred else None,
        "occurred_at_utc": clock.iso_utc(occurred) if occurred else None,
        "received_at": received,
        "device_id": receipt.device_id,
        "device_label": callback.label or receipt.device_label,
        "device_serial": callback.serial or receipt.device_serial,
        "operation": operation,
        "operation_id": callback.operation_id,
        "test": False,
    }


def instant(at: datetime) -> int:
    """Return seconds since 1970. Two punches of a user on a device with the same value are the same."""
    return int(at.timestamp())


def punch_id(device_id: str, user_id: str, at: datetime, place: int = 1) -> str:
    """Return `pun_…`, the same for the same device, user and instant.

    `place` is 2 for the second punch at one instant: an out if the first is an in, or the other way round.
    """
    identity = orjson.dumps([device_id, user_id, instant(at), *([place] if place > 1 else [])])
    return "pun_" + hashlib.blake2b(identity, digest_size=12).hexdigest()


def punch_event(
    punch: Punch,
    receipt: Receipt,
    callback: Callback,
    received: str,
    person: tuple[str | None, str | None],
    revision: int,
    place: int = 1,
) -> dict[str, Any]:
    """Return an `attendance.punch`. `person` is their name and employee ID, `place` as for `punch_id`."""
    delay = receipt.received_at - punch.at
    event = common("attendance.punch", receipt, callback, punch.operation, punch.at, received)
    occurred_at = event["occurred_at"]
    event |= {
        "punch_id": punch_id(receipt.device_id, punch.user_id, punch.at, place),
        "revision": revision,
        "user_id": punch.user_id,
        "user_name": person[0],
        "employee_id": person[1],
        "punch_type": punch.punch_type,
        "direction": punch.direction,
        "input_type": punch.input_type,
        "temperature_celsius": punch.temperature,
        "face_mask": punch.face_mask,
        "local_date": occurred_at[:10],
        "local_time": occurred_at[11:19],
        "delay_seconds": int(delay.total_seconds()),
        "is_late_arrival": int(delay.total_seconds()) > LATE_AFTER_SECONDS,
        "clock_suspect": delay < -AHEAD_SUSPECT or delay > receipt.retention,
    }
    return event


def photo_event(
    photo: AttendancePhoto,
    receipt: Receipt,
    callback: Callback,
    received: str,
    photo_id: str,
    employee_id: str | None,
) -> dict[str, Any]:
    """Return an `attendance.photo`. Its URL is signed when the event is shown."""
    event = common("attendance.photo", receipt, callback, photo.operation, photo.at, received)
    event |= {
        "user_id": photo.user_id,
        "employee_id": employee_id,
        "photo_url": f"{receipt.base_url}/photos/{photo_id}",
        "photo_mime": photo.mime,
        "photo_size_bytes": len(photo.data),
    }
    return event


def user_event(
    user: UserUpdated, receipt: Receipt, callback: Callback, received: str, profile: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a `user.updated`. `profile` is the user's new one; for an empty name, it has the known name."""
    first, last = profile.get("first_name"), profile.get("last_name")
    event = common("user.updated", receipt, callback, user.operation, user.at, received)
    event |= {
        "user_id": user.user_id,
        "first_name": first,
        "last_name": last,
        "full_name": " ".join(part for part in (first, last) if part) or None,
        "user_type": profile.get("user_type"),
        "credentials_changed": ",".join(dict.fromkeys(user.credential_types)),
    }
    return event


def credential_event(
    credential: CredentialUpdated,
    receipt: Receipt,
    callback: Callback,
    received: str,
    *,
    digest: str,
    is_new: bool,
) -> dict[str, Any]:
    """Return a `credential.updated`, without the credential."""
    card = credential.data if credential.type == "card" else ""
    event = common("credential.updated", receipt, callback, credential.operation, credential.at, received)
    event |= {
        "user_id": credential.user_id,
        "credential_type": credential.type,
        "credential_index": credential.index,
        "credential_size_bytes": credential.size_bytes,
        "credential_digest": digest,
        "card_last4": card[-4:] if len(card) > 4 else None,
        "card_number": None,
        "is_new": is_new,
    }
    return event


def deleted_event(
    deleted: UserDeleted, receipt: Receipt, callback: Callback, received: str
) -> dict[str, Any]:
    """Return a `user.deleted`."""
    event = common("user.deleted", receipt, callback, deleted.operation, deleted.at, received)
    event["user_id"] = deleted.user_id
    return event


def time_event(change: TimeChanged, receipt: Receipt, callback: Callback, received: str) -> dict[str, Any]:
    """Return a `device.time_changed`."""
    event = common("device.time_changed", receipt, callback, change.operation, change.at, received)
    shift = int((change.changed_to - change.at).total_seconds()) if change.at else None
    event |= {
        "changed_to": clock.iso(change.changed_to),
        "changed_to_utc": clock.iso_utc(change.changed_to),
        "shift_seconds": shift,
    }
    return event


def unrecognised_event(
    receipt: Receipt, callback: Callback, received: str, body_id: str, reason: str
) -> dict[str, Any]:
    """Return a `callback.unrecognised`. Its URL is signed when the event is shown."""
    event = common("callback.unrecognised", receipt, callback, callback.operation, None, received)
    event |= {"body_url": f"{receipt.base_url}/bodies/{body_id}", "reason": reason[:500]}
    return event
