"""Builds a delivery's request: the body in the subscription's format, signed according to Standard Webhooks. Pure."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence

import orjson

from app import __version__
from app.base import ids
from app.events import messages
from app.events.delivery_bodies import CONTENT_TYPES, event_body
from app.events.formats import MESSAGES
from app.store.server.codec import Codec, raw_json
from app.store.subscriptions.records import Subscription
from app.store.subscriptions.signing_keys import SigningKey
from workers.delivery.target import Delivery, Stored

USER_AGENT = f"cams-relay/{__version__}"


def body(subscription: Subscription, shard: int, delivery: Delivery, codec: Codec) -> bytes:
    """Return the body: one event, an array for a batch, or a message for people with a line for each event."""
    if subscription.format in MESSAGES:
        flats = [orjson.loads(flat) for flat in _flats(subscription, shard, delivery, codec)]
        return messages.of_events(subscription.format, flats, subscription.template)
    if delivery.test is not None:
        events = [_formatted(subscription, delivery.test)]
    else:
        events = [_event(subscription, shard, stored, codec) for stored in delivery.events]
    if subscription.format == "form":  # has no batches, but one may be left from another format
        return b"&".join(events)
    return b"[" + b",".join(events) + b"]" if delivery.batch else events[0]


def headers(
    subscription: Subscription,
    message_id: str,
    timestamp: int,
    content: bytes,
    batch: bool,
    signing_keys: Sequence[SigningKey],
) -> list[str]:
    """Return the header lines, with a signature for every secret or signing key that is valid now."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, content)
    kinds, signatures = subscription.signed_with, []
    if "hmac" in kinds:
        signatures = [
            "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
            for key in subscription.signing_keys()
        ]
    if "ed25519" in kinds:
        signatures += ["v1a," + key.sign(signed) for key in signing_keys if key.is_valid]
    lines = [
        f"content-type: {CONTENT_TYPES[subscription.format][batch]}",
        f"webhook-id: {message_id}",
        f"webhook-timestamp: {timestamp}",
        f"webhook-signature: {' '.join(signatures)}",
    ]
    # libcurl only sends a header without a value if it is written with a semicolon.
    lines.extend(
        f"{name}: {value}" if value.strip() else f"{name};" for name, value in subscription.headers.items()
    )
    return lines


def _flats(subscription: Subscription, shard: int, delivery: Delivery, codec: Codec) -> list[bytes]:
    if delivery.test is not None:
        return [delivery.test]
    return [_flat(subscription, shard, stored, codec) for stored in delivery.events]


def _flat(subscription: Subscription, shard: int, stored: Stored, codec: Codec) -> bytes:
    extra = stored.extra if subscription.include_card_numbers else None
    return codec.flat(ids.event_id(shard, stored.entry), stored.body, extra)


def _event(subscription: Subscription, shard: int, stored: Stored, codec: Codec) -> bytes:
    if subscription.format == "raw" and stored.raw:
        return raw_json(stored.raw)
    return _formatted(subscription, _flat(subscription, shard, stored, codec))


def _formatted(subscription: Subscription, flat: bytes) -> bytes:
    return event_body(subscription.format, flat, subscription.field_mapping)
