"""What all event types share: the fields of every event, and how a field is declared."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields


def field(
    kind: type[fields.Field[Any]], description: str, example: object, *, null: bool = False
) -> fields.Field[Any]:
    return kind(required=True, allow_none=null, metadata={"description": description, "examples": [example]})


def text(description: str, example: str | None, *, null: bool = False) -> fields.Field[Any]:
    return field(fields.String, description, example, null=null)


class Event(Schema):
    """The fields that all events have."""

    class Meta:
        unknown = RAISE

    event_type = ""
    summary = ""
    # For the sample: the operation that leads to the event, if any, and whether the event is tied to a device.
    from_operation: str | None = None
    of_device = True

    id = text(
        "The event's ID, the same on every delivery. IDs sort by time of receipt.", "evt_01kay8ds0r000000"
    )
    type = text("What happened.", "attendance.punch")
    occurred_at = text(
        "When the event happened, with the device's own offset (ISO 8601).",
        "2026-11-24T09:01:44+05:30",
        null=True,
    )
    occurred_at_utc = text("The same instant in UTC.", "2026-11-24T03:31:44Z", null=True)
    received_at = text("When the relay received the event (UTC).", "2026-11-24T03:31:46.120Z")
    device_id = text("The device's Service Tag ID (stgid).", "ZHM1100001", null=True)
    device_label = text("The device's name.", "Front Door", null=True)
    device_serial = text("The device's serial number.", "ZHM1100001", null=True)
    operation = text("The gateway's name for the operation.", "RealTimePunchLog", null=True)
    operation_id = text("The gateway's ID for this operation.", "9nu1wak5616p", null=True)
    test = field(fields.Boolean, "True for samples and test events.", False)
