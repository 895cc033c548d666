"""Subscriptions to webhooks (REST hooks): what is kept of them, and which events they take."""

from __future__ import annotations

import base64
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from app import ids
from app.events.types import EVENT_TYPES, matches
from app.store.connection import Connection
from app.store.keys import SUBSCRIPTION_PARTS, SUBSCRIPTIONS

SECRET_PREFIX = "whsec_"
ROTATION_SECONDS = 24 * 3600
_PAIR_LIMIT = 1_000  # (device, user) pairs indexed for one subscription

FILTERS = ("device_ids", "user_ids", "punch_types", "command_ids")


def new_secret() -> str:
    """A Standard Webhooks secret of 32 bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(slots=True)
class Subscription:
    """A subscription with its secrets opened."""

    id: str
    target_url: str
    events: tuple[str, ...]
    device_ids: frozenset[str]
    user_ids: frozenset[str]
    punch_types: frozenset[str]
    command_ids: frozenset[str]
    format: str
    description: str | None
    max_in_flight: int
    batch_max: int
    batch_wait_ms: int
    include_card_numbers: bool
    status: str  # "active" or "disabled"
    disabled_reason: str | None
    created_at: str
    after: dict[str, str]  # shard → the newest event when it was made: it takes later ones
    secrets: list[list[Any]] = field(default_factory=list)  # [secret, valid until (s) or null], newest first
    headers: dict[str, str] = field(default_factory=dict)

    def signing_keys(self) -> list[bytes]:
        """The keys that sign now, newest first."""
        now = time.time()
        return [_key(secret) for secret, until in self.secrets if until is None or until > now]

    def rotate_secret(self) -> None:
        """Makes a new secret; the present ones sign on beside it for a day."""
        now = time.time()
        expires = now + ROTATION_SECONDS
        former = [[secret, min(until or expires, expires)] for secret, until in self.secrets]
        self.secrets = [[new_secret(), None], *(pair for pair in former if pair[1] > now)][:4]

    def takes(self, event: dict[str, Any]) -> bool:
        """Whether an event passes the filters; `punch_types` is asked of punches only."""
        return (
            any(matches(pattern, event["type"]) for pattern in self.events)
            and (not self.device_ids or event["device_id"] in self.device_ids)
            and (not self.user_ids or event.get("user_id") in self.user_ids)
            and (not self.command_ids or event.get("command_id") in self.command_ids)
            and (
                not self.punch_types
                or event["type"] != "attendance.punch"
                or event["punch_type"] in self.punch_types
            )
        )


@lru_cache(maxsize=1_024)
def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX))


class Matcher:
    """Finds the active subscriptions of an event, at a cost that doesn't grow with their number.

    Each is filed under the narrowest of its filters: commands, pairs of device and user, users, devices, or
    event types.
    """

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._filed: dict[tuple[str, ...], list[Subscription]] = defaultdict(list)
        for subscription in subscriptions:
            if subscription.status == "active":
                for place in _places(subscription):
                    self._filed[place].append(subscription)

    def find(self, event: dict[str, Any]) -> list[Subscription]:
        """The subscriptions that take an event."""
        device, user = event["device_id"] or "", event.get("user_id") or ""
        command = event.get("command_id") or ""
        filed = self._filed
        return [
            subscription
            for place in (
                ("command", command),
                ("pair", device, user),
                ("user", user),
                ("device", device),
                ("type", event["type"]),
            )
            if place in filed
            for subscription in filed[place]
            if subscription.takes(event)
        ]


def _places(subscription: Subscription) -> list[tuple[str, ...]]:
    if subscription.command_ids:
        return [("command", command) for command in subscription.command_ids]
    devices, users = subscription.device_ids, subscription.user_ids
    if devices and users and len(devices) * len(users) <= _PAIR_LIMIT:
        return [("pair", device, user) for device in devices for user in users]
    if users:
        return [("user", user) for user in users]
    if devices:
        return [("device", device) for device in devices]
    return [
        ("type", event_type)
        for event_type in EVENT_TYPES
        if any(matches(pattern, event_type) for pattern in subscription.events)
    ]


class Subscriptions:
    """What is kept of subscriptions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._swap = connection.script("swap")

    def create(self, fields: dict[str, Any], after: dict[int, str]) -> Subscription:
        """A new subscription from checked fields; `after` is the newest event of each shard."""
        fields = dict(fields)
        subscription = Subscription(
            id=ids.random_id("sub"),
            status="active",
            disabled_reason=None,
            created_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            after={str(shard): entry for shard, entry in after.items()},
            secrets=[[fields.pop("secret", None) or new_secret(), None]],
            **fields,
        )
        self._connection.redis.hset(SUBSCRIPTIONS, subscription.id, self._pack(subscription))
        self._announce(subscription.id)
        return subscription

    def change(
        self,
        subscription_id: str,
        how: Callable[[Subscription], None],
        whether: Callable[[Subscription], bool] = lambda _: True,
    ) -> Subscription | None:
        """Changes one in place with `how`, if `whether` says so of it; None if there is none, or it does not.

        Both are called anew, with what is stored then, where another change came between. What they raise leaves all
        as it was. On return every event stored later is matched against what was written.
        """
        while True:
            stored, subscription = self._read(subscription_id)
            if subscription is None or not whether(subscription):
                return None
            how(subscription)
            if self._swapped(subscription_id, stored, self._pack(subscription)):
                self._announce(subscription_id)
                return subscription

    def delete(
        self, subscription_id: str, whether: Callable[[Subscription], bool] = lambda _: True
    ) -> Subscription | None:
        """Removes one with its queue and log, if `whether` says so of it; what was removed."""
        while True:
            stored, subscription = self._read(subscription_id)
            if subscription is None or not whether(subscription):
                return None
            if self._swapped(subscription_id, stored, b""):
                break
        self._announce(subscription_id)
        for shard in self._connection.shards:
            parts = (shard.subscription(subscription_id, part) for part in SUBSCRIPTION_PARTS)
            self._connection.redis.delete(*parts)
        return subscription

    def _read(self, subscription_id: str) -> tuple[bytes, Subscription | None]:
        stored = self._connection.redis.hget(SUBSCRIPTIONS, subscription_id) or b""
        return stored, self.unpack(subscription_id, stored) if stored else None

    def _swapped(self, subscription_id: str, before: bytes, after: bytes) -> bool:
        return bool(self._swap(keys=[SUBSCRIPTIONS], args=[subscription_id, before, after]))

    def _announce(self, subscription_id: str) -> None:
        for shard in self._connection.shards:
            pipeline = self._connection.redis.pipeline(transaction=True)
            pipeline.incr(shard.subscriptions_version)
            pipeline.xadd(shard.wake, {"subscription": subscription_id}, maxlen=1_000)
            pipeline.execute()

    def get(self, subscription_id: str) -> Subscription | None:
        """One subscription."""
        return self._read(subscription_id)[1]

    def all(self) -> list[Subscription]:
        """All of them, oldest first."""
        stored = self._connection.redis.hgetall(SUBSCRIPTIONS)
        found = [self.unpack(name.decode(), value) for name, value in stored.items()]
        return sorted(found, key=lambda subscription: (subscription.created_at, subscription.id))

    def ids(self) -> list[str]:
        """The ids of all."""
        return [name.decode() for name in self._connection.redis.hkeys(SUBSCRIPTIONS)]

    def _pack(self, subscription: Subscription) -> bytes:
        record = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name in Subscription.__slots__
            if name not in ("id", "secrets", "headers")
            for value in (getattr(subscription, name),)
        }
        sealed = self._connection.vault.seal(
            "subscription",
            orjson.dumps({"secrets": subscription.secrets, "headers": subscription.headers}),
            subscription.id,
        )
        return orjson.dumps({**record, "sealed": base64.b64encode(sealed).decode()})

    def unpack(self, subscription_id: str, stored: bytes) -> Subscription:
        """A subscription from what is stored of it."""
        record = orjson.loads(stored)
        sealed = base64.b64decode(record.pop("sealed"))
        hidden = orjson.loads(self._connection.vault.open("subscription", sealed, subscription_id))
        for name in FILTERS:
            record[name] = frozenset(record.get(name) or ())  # an earlier version had fewer
        return Subscription(id=subscription_id, events=tuple(record.pop("events")), **record, **hidden)
