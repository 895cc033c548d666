"""Any stored event is either valid for every reader, or unreadable."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.events.samples import sample
from app.events.types import EVENT_TYPES
from app.store.server.codec import Codec, UnreadableEvent


def stored(event_type: str, **changes: Any) -> bytes:
    event = {**sample(event_type), **changes}
    del event["id"]
    return orjson.dumps(event)


@pytest.mark.parametrize("event_type", list(EVENT_TYPES))
def test_every_type_of_event_is_read(event_type: str) -> None:
    assert Codec.decode(stored(event_type))["type"] == event_type


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", None),
        ("device_id", None),
        ("device_id", 7),
        ("user_id", None),
        ("user_id", [1]),
        ("direction", 1),
        ("punch_type", {}),
        ("clock_suspect", "no"),
        ("occurred_at", None),
        ("occurred_at_utc", 1_795_000_000),
    ],
)
def test_a_punch_with_a_field_of_the_wrong_type_is_unreadable(field: str, value: Any) -> None:
    with pytest.raises(UnreadableEvent):
        Codec.decode(stored("attendance.punch", **{field: value}))
