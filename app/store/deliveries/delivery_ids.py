"""Names of deliveries: `dlv_…` in the API, `webhook-id` for targets.

A delivery's name is the entry of its event (`ms-seq`), or of its first event with a suffix: `ms-seq:bXXXXXX` for a
batch, `ms-seq:tXXXXXX` for a test. Its ID consists of its subscription's ID and this name. So IDs aren't stored, and
deliveries from earlier versions also have one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from app.base import ids

_ID = re.compile(r"dlv_([0-9a-z]{24})([0-9a-z]{45}|[0-9a-z]{31}|[0-9a-z]{16})(?:([bt])([0-9a-z]{6}))?")


class DeliveryPlace(NamedTuple):
    """The place of a delivery: its subscription, its shard and its name."""

    subscription_id: str
    shard: int
    name: str


def public_id(shard: int, delivery: str) -> str:
    """Return the `webhook-id`: the event's ID, or `bat_…` for a batch."""
    entry, _, suffix = delivery.partition(":")
    event_id = ids.event_id(shard, entry)
    if not suffix:
        return event_id
    kind = "bat" if suffix[0] == "b" else "evt"
    return f"{kind}_{event_id.removeprefix('evt_')}{suffix[1:]}"


def order(delivery: str) -> int:
    """Return a delivery's place in the order of receipt of their first events."""
    ms, _, sequence = delivery.partition(":")[0].partition("-")
    return int(ms) * 1000 + min(int(sequence), 999)


def received_ms(delivery: str) -> int:
    """Return when a delivery's event (or a batch's first) was received, or when a test is to be sent."""
    return int(delivery.partition("-")[0])


def delivery_id(subscription_id: str, shard: int, delivery: str) -> str:
    """Return the ID of a delivery in the API."""
    entry, _, suffix = delivery.partition(":")
    event = ids.event_id(shard, entry).removeprefix("evt_")
    return f"dlv_{subscription_id.removeprefix('sub_')}{event}{suffix}"


def delivery_place(public: str) -> DeliveryPlace | None:
    """Return the place of the delivery with this ID; None if it isn't a delivery's ID."""
    match = _ID.fullmatch(public)
    place = ids.event_place(f"evt_{match[2]}") if match else None
    if match is None or place is None:
        return None
    suffix = f":{match[3]}{match[4]}" if match[3] else ""
    return DeliveryPlace(f"sub_{match[1]}", place.shard, place.entry + suffix)


def names_of_event(event_id: str) -> tuple[int, list[str]] | None:
    """Return the shard and the possible names of this event's single deliveries; None if it isn't an event's ID."""
    place = ids.event_place(event_id)
    if place is not None:
        return place.shard, [place.entry]
    place = ids.event_place(event_id[:-6])  # a test event
    if place is None or not re.fullmatch("[0-9a-hjkmnp-tv-z]{6}", event_id[-6:]):
        return None
    return place.shard, [f"{place.entry}:{kind}{event_id[-6:]}" for kind in "tb"]
