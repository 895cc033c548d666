"""The documented callbacks (#1 to #11) become exactly these events, with every field. Contract §3."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.events.types import FIELDS, SCHEMAS
from app.gateway.operations import CALLBACKS
from tests.harness import Device, Relay
from tests.relay.tools import events

CALLBACK_NAMES = {operation.name for operation in CALLBACKS}
LABELLED = {"device_label": "Burj Khalifa", "device_serial": "ZHM11xxxxxxxx"}
REGISTERED = {"device_label": "Gate 2", "device_serial": "SN-77"}
CREDENTIAL = {"card_last4": None, "card_number": None, "is_new": True}

EXPECTED: dict[int, list[dict[str, Any]]] = {
    1: [
        {
            **REGISTERED,
            "type": "user.deleted",
            "occurred_at": "2020-09-17T13:12:02+05:30",
            "occurred_at_utc": "2020-09-17T07:42:02Z",
            "operation": "ManuallyUserDeleted",
            "operation_id": "oy1kjign3sm7",
            "user_id": "1",
        }
    ],
    2: [
        {
            **REGISTERED,
            "type": "device.time_changed",
            "occurred_at": "2020-09-17T13:22:31+05:30",
            "occurred_at_utc": "2020-09-17T07:52:31Z",
            "operation": "ManuallyDateModified",
            "operation_id": "1aci5f5o6kbi1",
            "changed_to": "2020-09-17T10:22:24+05:30",
            "changed_to_utc": "2020-09-17T04:52:24Z",
            "shift_seconds": -10807,
        }
    ],
    3: [
        {
            **LABELLED,
            "type": "user.updated",
            "occurred_at": "2020-09-16T18:45:34+05:30",
            "occurred_at_utc": "2020-09-16T13:15:34Z",
            "operation": "ManuallyUserUpdatedWithoutTemplate",
            "operation_id": "1vsyboxnuuorq",
            "user_id": "1",
            "first_name": "jency",
            "last_name": "mary",
            "full_name": "jency mary",
            "user_type": "user",
            "credentials_changed": "",
        }
    ],
    **{
        number: [
            {
                **LABELLED,
                "type": "user.updated",
                "occurred_at": "2020-09-17T15:33:38+05:30",
                "occurred_at_utc": "2020-09-17T10:03:38Z",
                "operation": operation,
                "operation_id": "oldcu1ekxdbz",
                "user_id": "8",
                "first_name": None,
                "last_name": None,
                "full_name": None,
                "user_type": "user",
                "credentials_changed": kind,
            },
            {
                **LABELLED,
                **CREDENTIAL,
                "type": "credential.updated",
                "occurred_at": "2020-09-17T15:33:38+05:30",
                "occurred_at_utc": "2020-09-17T10:03:38Z",
                "operation": operation,
                "operation_id": "oldcu1ekxdbz",
                "user_id": "8",
                "credential_type": kind,
                "credential_index": 0,
                "credential_size_bytes": size,
                "card_last4": last4,
            },
        ]
        for number, operation, kind, size, last4 in (
            (4, "ManuallyUserUpdatedWithCard", "card", 7, "4445"),
            (5, "ManuallyUserUpdatedWithPassword", "password", 6, None),
        )
    },
    **{
        number: [
            {
                **LABELLED,
                **CREDENTIAL,
                "type": "credential.updated",
                "occurred_at": f"2020-09-17T{local}+05:30",
                "occurred_at_utc": f"2020-09-17T{utc}Z",
                "operation": operation,
                "operation_id": operation_id,
                "user_id": "2",
                "credential_type": kind,
                "credential_index": index,
                "credential_size_bytes": size,
            }
        ]
        for number, operation, operation_id, kind, index, size, local, utc in (
            (
                6,
                "ManuallyUserUpdatedWithFingerPrint",
                "vq01h140jswo",
                "fingerprint",
                6,
                1176,
                "12:48:28",
                "07:18:28",
            ),
            (7, "ManuallyUserUpdatedWithFace", "5qwmu986vm7c", "face", 0, 28112, "19:04:55", "13:34:55"),
            (8, "ManuallyUserUpdatedWithPalm", "p3rm9kqx1yz0", "palm", 0, None, "19:10:12", "13:40:12"),
        )
    },
    9: [
        {
            **LABELLED,
            "type": "user.updated",
            "occurred_at": "2020-09-17T20:00:00+05:30",
            "occurred_at_utc": "2020-09-17T14:30:00Z",
            "operation": "ManuallyUserUpdatedWithUserPhoto",
            "operation_id": "up9h2bxk7q11",
            "user_id": "5",
            "first_name": "Alex",
            "last_name": "Thomas",
            "full_name": "Alex Thomas",
            "user_type": "user",
            "credentials_changed": "user_photo",
        },
        {
            **LABELLED,
            **CREDENTIAL,
            "type": "credential.updated",
            "occurred_at": "2020-09-17T20:00:00+05:30",
            "occurred_at_utc": "2020-09-17T14:30:00Z",
            "operation": "ManuallyUserUpdatedWithUserPhoto",
            "operation_id": "up9h2bxk7q11",
            "user_id": "5",
            "credential_type": "user_photo",
            "credential_index": 0,
            "credential_size_bytes": None,
        },
    ],
    10: [
        {
            **REGISTERED,
            "type": "attendance.photo",
            "occurred_at": "2020-09-17T07:48:30+05:30",
            "occurred_at_utc": "2020-09-17T02:18:30Z",
            "operation": "RealTimeAttendancePhoto",
            "operation_id": "x58636uon24u",
            "user_id": "3",
            "employee_id": None,
            "photo_mime": "image/jpeg",
            "photo_size_bytes": 20,
        }
    ],
    11: [
        {
            **LABELLED,
            "type": "attendance.punch",
            "occurred_at": "2020-09-17T07:48:22+05:30",
            "occurred_at_utc": "2020-09-17T02:18:22Z",
            "operation": "RealTimePunchLog",
            "operation_id": "9nu1wak5616p",
            "revision": 1,
            "user_id": "2",
            "user_name": None,
            "employee_id": None,
            "punch_type": "check_out",
            "direction": "out",
            "input_type": "fingerprint",
            "temperature_celsius": 36.8,
            "face_mask": False,
            "local_date": "2020-09-17",
            "local_time": "07:48:22",
            "is_late_arrival": True,
            "clock_suspect": True,
        }
    ],
}
# Values that vary, which are only checked by pattern.
MADE = {
    "id": r"evt_[0-9a-z]{16}",
    "received_at": r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "punch_id": r"pun_[0-9a-f]{24}",
    "delay_seconds": r"\d{9}",
    "credential_digest": r"[0-9a-f]{32}",
    "photo_url": r"http://127\.0\.0\.1:\d+/photos/pho_[0-9a-z]{26}\?expires=\d{10}&signature=[\w-]{43}",
}


@pytest.mark.parametrize("number", range(1, len(CALLBACKS) + 1))
def test_a_documented_callback_becomes_exactly_these_events(relay: Relay, number: int) -> None:
    device = relay.device(label="Gate 2", serial_number="SN-77")
    device.send_done(device.sample(number))
    found = events(device)
    for event in found:
        for name, form in MADE.items():
            assert name not in event or re.fullmatch(form, str(event[name])), (name, event[name])
    shown = [{name: value for name, value in event.items() if name not in MADE} for event in found]
    assert shown == [{"device_id": device.id, "test": False, **event} for event in EXPECTED[number]]


def test_each_event_is_flat_complete_and_ordered_like_its_schema(device: Device) -> None:
    for number in range(1, len(CALLBACKS) + 1):
        device.send_done(device.sample(number))
    device.send_done(device.envelope(Nothing={}))
    found = events(device)
    reported = {name for name, schema in SCHEMAS.items() if schema.from_operation in CALLBACK_NAMES}
    assert {event["type"] for event in found} == {*reported, "callback.unrecognised"}
    for event in found:
        SCHEMAS[event["type"]]().load(event)
        assert tuple(event) == FIELDS[event["type"]]
        assert all(value is None or isinstance(value, str | int | float | bool) for value in event.values())
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in event)


def test_a_delivered_event_is_the_stored_one(relay: Relay, device: Device, receiver: Any) -> None:
    relay.subscribe(receiver, device)
    for number in range(1, len(CALLBACKS) + 1):
        device.send_done(device.sample(number))
    receiver.wait(len(events(device)))
    signed = re.compile(r"\?expires=.*")

    def shown(found: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            event["id"]: {n: signed.sub("", v) if n == "photo_url" else v for n, v in event.items()}
            for event in found
        }

    assert shown(receiver.events()) == shown(events(device))
    for event in receiver.events():
        assert tuple(event) == FIELDS[event["type"]]
