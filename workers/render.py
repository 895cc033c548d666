"""The request of a delivery: body in the subscription's format, signed as Standard Webhooks says. Pure."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import orjson

from app import __version__, ids
from app.store.codec import Codec, inflate
from app.store.subscriptions import Subscription
from workers.target import Delivery, Stored

USER_AGENT = f"cams-relay/{__version__}"
_CONTENT_TYPES = {
    ("flat", False): "application/json",
    ("flat", True): "application/json",
    ("raw", False): "application/json",
    ("raw", True): "application/json",
    ("cloudevents", False): "application/cloudevents+json",
    ("cloudevents", True): "application/cloudevents-batch+json",
}


def body(subscription: Subscription, shard: int, delivery: Delivery, codec: Codec) -> bytes:
    """The body: one event, or an array of them for a batch."""
    if delivery.test is not None:
        events = [_formatted(subscription, delivery.test)]
    else:
        events = [_event(subscription, shard, stored, codec) for stored in delivery.events]
    return b"[" + b",".join(events) + b"]" if delivery.batch else events[0]


def headers(
    subscription: Subscription, message_id: str, timestamp: int, content: bytes, batch: bool
) -> list[str]:
    """The header lines, with a signature by every secret that is valid now."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, content)
    signatures = " ".join(
        "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        for key in subscription.signing_keys()
    )
    lines = [
        f"content-type: {_CONTENT_TYPES[subscription.format, batch]}",
        f"webhook-id: {message_id}",
        f"webhook-timestamp: {timestamp}",
        f"webhook-signature: {signatures}",
    ]
    # libcurl sends a header without a value only when it is spelled with a semicolon.
    lines.extend(
        f"{name}: {value}" if value.strip() else f"{name};" for name, value in subscription.headers.items()
    )
    return lines


def _event(subscription: Subscription, shard: int, stored: Stored, codec: Codec) -> bytes:
    if subscription.format == "raw" and stored.raw:
        return inflate(stored.raw)
    extra = stored.extra if subscription.include_card_numbers else None
    flat = codec.flat(ids.event_id(shard, stored.entry), stored.body, extra)
    return _formatted(subscription, flat)


def _formatted(subscription: Subscription, flat: bytes) -> bytes:
    if subscription.format != "cloudevents":
        return flat
    event: dict[str, Any] = orjson.loads(flat)
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": event["id"],
            "source": f"/devices/{event['device_id']}" if event["device_id"] else "/relay",
            "type": event["type"],
            **({"subject": event["user_id"]} if event.get("user_id") else {}),
            "time": event["occurred_at"] or event["received_at"],
            "datacontenttype": "application/json",
            "data": event,
        }
    )
