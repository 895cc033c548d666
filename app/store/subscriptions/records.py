"""Subscriptions to webhooks (REST hooks): their stored data, and which events each takes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import orjson

from app.base import ids
from app.base.vault import SealError
from app.base.yielding import in_turns
from app.events.flatten import received_iso
from app.events.types import matches
from app.store.server.connection import Connection
from app.store.server.keys import SUBSCRIPTIONS
from app.store.subscriptions.keys import announce, entry_order, remove_keys
from app.store.subscriptions.moved import count_moved
from app.store.subscriptions.queueing_position import find_position
from app.store.subscriptions.signing import DEFAULT_SIGNATURES, new_secret, signing_key

ROTATION_SECONDS = 24 * 3600
KEPT_SECONDS = 60  # after a deletion, for a new subscription with the same target
_DELETED = b'"status":"deleted"'  # as written by orjson; within a text, the quotes would be escaped
_EXPIRES = b'"expires_at":'
_TAKES_OVER = b'"takes_over":'
_ADDED = (
    "created_by",
    "expires_at",
    "deleted_at",
    "left",
    "takes_over",
    "taken_over_to",
    "field_mapping",
    "signatures",
    "template",
)  # not stored if empty, because earlier versions don't know them
FILTERS = ("device_ids", "user_ids", "punch_types", "command_ids")


def target_origin(url: str) -> str:
    """Return scheme, host and port of a target's normalised URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class Unreadable(Exception):
    """A subscription's stored data can't be read."""


@dataclass(slots=True)
class Subscription:
    """A subscription with decrypted secrets."""

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
    status: str  # "active", "disabled", or "deleted" while its queue is kept
    disabled_reason: str | None
    created_at: str
    after: dict[str, str]  # shard → the newest event when it was created
    secrets: list[list[Any]] = field(default_factory=list)  # [secret, valid until (s) or null], newest first
    headers: dict[str, str] = field(default_factory=dict)
    created_by: str | None = None  # the API key's id; unknown of those of earlier versions
    expires_at: float | None = None  # s since 1970
    deleted_at: float | None = None  # s since 1970
    left: dict[str, str] = field(default_factory=dict)  # shard → the last event queued before its deletion
    # The deleted subscriptions whose queues it takes over, oldest first: [id, left].
    takes_over: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    # Shard → the newest event when it took over. Up to there, waiting events may have types that it doesn't match.
    taken_over_to: dict[str, str] = field(default_factory=dict)
    # Name in the body → field of the event, or {"value": constant}
    field_mapping: dict[str, Any] | None = None
    template: str | None = None  # of the messages for people
    signatures: tuple[str, ...] = ()  # of SIGNATURES; empty for the default

    @property
    def signed_with(self) -> tuple[str, ...]:
        """The kinds of signatures of its deliveries."""
        return self.signatures or DEFAULT_SIGNATURES

    @property
    def target_origin(self) -> str:
        """Return scheme, host and port of the target. Others may not see more, as a webhook's path may be a secret."""
        return target_origin(self.target_url)

    @property
    def is_expired(self) -> bool:
        """Whether its time is over: nothing is sent any more."""
        return self.expires_at is not None and self.expires_at <= time.time()

    @property
    def has_ended(self) -> bool:
        """Whether nothing may be sent any more, as it was deleted or has expired."""
        return self.status == "deleted" or self.is_expired

    def signing_keys(self) -> list[bytes]:
        """Return the current signing keys, newest first."""
        now = time.time()
        return [signing_key(secret) for secret, until in self.secrets if until is None or until > now]

    def rotate_secret(self, secret: str | None = None) -> None:
        """Set a secret, a new one by default. The present ones also sign for another day."""
        now = time.time()
        expires = now + ROTATION_SECONDS
        former = [[secret, min(until or expires, expires)] for secret, until in self.secrets]
        self.secrets = [[secret or new_secret(), None], *(pair for pair in former if pair[1] > now)][:4]

    def takes(self, event: dict[str, Any]) -> bool:
        """Return whether an event passes the filters; `punch_types` only applies to punches."""
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


Check: TypeAlias = Callable[[Subscription], bool]


def _is_kept(deleted: Subscription) -> bool:
    return abs(time.time() - (deleted.deleted_at or 0)) <= KEPT_SECONDS  # the clock may have been set back


def _takes_the_same(one: Subscription, other: Subscription) -> bool:
    return set(one.events) == set(other.events) and all(
        getattr(one, name) == getattr(other, name) for name in FILTERS
    )


class Subscriptions:
    """The stored subscriptions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._swap = connection.script("swap")
        self._replace = connection.script("replace")

    def create(
        self,
        fields: dict[str, Any],
        after: dict[int, str],
        may_replace: Check = lambda _: True,
    ) -> Subscription:
        """Create a subscription from checked fields; `after` is the newest event of each shard.

        It takes over the queue of one with the same target that was just deleted, if `may_replace` allows that.
        """
        fields = dict(fields)
        subscription = Subscription(
            id=ids.random_id("sub"),
            status="active",
            disabled_reason=None,
            created_at=received_iso(datetime.now(UTC)),
            after={str(shard): entry for shard, entry in after.items()},
            secrets=[[fields.pop("secret", None) or new_secret(), None]],
            **fields,
        )
        while former := self._former(subscription, may_replace):
            if self._taken_over(subscription, *former):
                break
        else:
            self._connection.redis.hset(SUBSCRIPTIONS, subscription.id, self._pack(subscription))
        announce(self._connection, subscription.id)
        return subscription

    def _former(self, subscription: Subscription, allows: Check) -> tuple[bytes, Subscription] | None:
        """Return the deleted subscription that it replaces, rather one with the same events, and its stored data."""
        found = [
            (stored, former)
            for stored, former in self._deleted()
            if former.target_url == subscription.target_url and _is_kept(former) and allows(former)
        ]
        return max(
            found, key=lambda one: (_takes_the_same(one[1], subscription), one[1].deleted_at), default=None
        )

    def _deleted(self) -> Iterator[tuple[bytes, Subscription]]:
        """Yield the deleted subscriptions that are kept, with their stored data."""
        for name, stored in self._connection.redis.hgetall(SUBSCRIPTIONS).items():
            if _DELETED in stored:
                with suppress(Unreadable):
                    yield stored, self.unpack(name.decode(), stored)

    def remove_expired(self) -> list[Subscription]:
        """Removes those whose time is over, with their queues; the removed ones."""
        removed = []
        for name, stored in self._connection.redis.hgetall(SUBSCRIPTIONS).items():
            if _EXPIRES not in stored or _DELETED in stored:
                continue
            with suppress(Unreadable):
                subscription = self.unpack(name.decode(), stored)
                if subscription.is_expired and self._swapped(subscription.id, stored, b""):
                    self._clear(subscription)
                    removed.append(subscription)
        return removed

    def _taken_over(self, subscription: Subscription, stored: bytes, former: Subscription) -> bool:
        """Replace a deleted subscription with it; return whether that still existed."""
        newest = subscription.after
        moved = count_moved(self._connection, former.id, former.takes_over)
        new = replace(
            subscription,
            after={**newest, **former.after},
            takes_over=[*former.takes_over[moved:], (former.id, former.left)],
            taken_over_to=newest,
        )
        record = self._pack(new)
        return bool(self._replace(keys=[SUBSCRIPTIONS], args=[former.id, stored, new.id, record]))

    def change(
        self,
        subscription_id: str,
        how: Callable[[Subscription], None],
        whether: Check = lambda _: True,
    ) -> Subscription | None:
        """Change a subscription in place with `how`, if `whether` returns true; None if there is none, or it isn't.

        If another change comes between, both are called again with the new data. If they raise, nothing is changed. On
        return, every event stored later is matched against the new data.
        """
        while True:
            stored, subscription = self._read(subscription_id)
            if subscription is None or not whether(subscription):
                return None
            how(subscription)
            if self._swapped(subscription_id, stored, self._pack(subscription)):
                announce(self._connection, subscription_id)
                return subscription

    def delete(
        self, subscription_id: str, check: Callable[[Subscription], None] = lambda _: None
    ) -> Subscription | None:
        """Remove a subscription with its queue and log; return it. If `check` raises, it stays. Raises Unreadable."""
        while True:
            stored, subscription = self._read(subscription_id)
            if subscription is None:
                return None
            check(subscription)
            if self._swapped(subscription_id, stored, b""):
                break
        self._clear(subscription)
        return subscription

    def retire(
        self, subscription_id: str, check: Callable[[Subscription], None] = lambda _: None
    ) -> Subscription | None:
        """Delete a subscription, but keep its queue for `KEPT_SECONDS` for a new one with the same target. Raises
        Unreadable.

        Until then, nothing is sent, and everything but `create` and `remove_deleted` treats it as deleted. If `check`
        raises, nothing is deleted.
        """
        while True:
            # Before the record changes: an event that is queued in between is refused when it is queued again.
            positions = self._handed_out()
            stored, subscription = self._read(subscription_id)
            if subscription is None:
                return None
            check(subscription)
            left = {
                shard: max(at, subscription.after.get(shard, at), key=entry_order)
                for shard, at in positions.items()
            }
            kept = replace(
                subscription, status="deleted", deleted_at=time.time(), left=left, secrets=[], headers={}
            )
            if self._swapped(subscription_id, stored, self._pack(kept)):
                announce(self._connection, subscription_id)
                return subscription

    def _handed_out(self) -> dict[str, str]:
        """Return shard → the last event that was added to the subscriptions' queues."""
        shards = self._connection.shards
        return {str(shard.number): find_position(self._connection, shard).position for shard in shards}

    def remove_deleted(self) -> None:
        """Remove the data of deleted subscriptions that was kept for long enough."""
        for stored, subscription in list(self._deleted()):
            if not _is_kept(subscription) and self._swapped(subscription.id, stored, b""):
                self._clear(subscription)

    def delete_kept(self, subscription_id: str) -> bool:
        """Remove the data that is kept of a deleted subscription; return whether there was any."""
        for stored, subscription in self._deleted():
            if subscription.id == subscription_id and self._swapped(subscription_id, stored, b""):
                self._clear(subscription)
                return True
        return False

    def forget_moved(self) -> None:
        """Remove from the records the deleted subscriptions whose queues were taken over on all shards."""
        for name, stored in self._connection.redis.hgetall(SUBSCRIPTIONS).items():
            if _TAKES_OVER not in stored:
                continue
            with suppress(Unreadable):
                new = self.unpack(name.decode(), stored)
                moved = count_moved(self._connection, new.id, new.takes_over)
                rest = replace(new, takes_over=new.takes_over[moved:])
                if moved and self._swapped(new.id, stored, self._pack(rest)):
                    for former, _ in new.takes_over[:moved]:
                        remove_keys(self._connection, former)  # of late writes

    def delete_unreadable(self, subscription_id: str) -> None:
        """Remove a subscription that can't be read."""
        self._connection.redis.hdel(SUBSCRIPTIONS, subscription_id)
        announce(self._connection, subscription_id)
        remove_keys(self._connection, subscription_id)

    def _clear(self, subscription: Subscription) -> None:
        """Remove the keys of a subscription whose record is gone, and of those that it was taking over."""
        announce(self._connection, subscription.id)
        for name in (subscription.id, *(former for former, _ in subscription.takes_over)):
            remove_keys(self._connection, name)

    def _read(self, subscription_id: str) -> tuple[bytes, Subscription | None]:
        stored = self._connection.redis.hget(SUBSCRIPTIONS, subscription_id) or b""
        found = self.unpack(subscription_id, stored) if stored else None
        return stored, None if found is None or found.has_ended else found

    def _swapped(self, subscription_id: str, before: bytes, after: bytes) -> bool:
        return bool(self._swap(keys=[SUBSCRIPTIONS], args=[subscription_id, before, after]))

    def get(self, subscription_id: str) -> Subscription | None:
        """Return a subscription."""
        return self._read(subscription_id)[1]

    def all(self, target_url: str = "") -> list[Subscription]:
        """Return all (or those with a target) that can be read, oldest first. `/health` reports the others."""
        found = []
        target = orjson.dumps(target_url) if target_url else b""
        for name, value in in_turns(self._connection.redis.hgetall(SUBSCRIPTIONS).items()):
            if _DELETED in value or target not in value:
                continue
            with suppress(Unreadable):
                found.append(self.unpack(name.decode(errors="replace"), value))
        found = [subscription for subscription in found if not subscription.is_expired]
        return sorted(found, key=lambda subscription: (subscription.created_at, subscription.id))

    def count(self) -> int:
        """How many there are."""
        return sum(_DELETED not in stored for stored in self._connection.redis.hvals(SUBSCRIPTIONS))

    def ids(self) -> list[str]:
        """Return the IDs of all, including deleted ones whose queue is kept."""
        return [name.decode() for name in self._connection.redis.hkeys(SUBSCRIPTIONS)]

    def _pack(self, subscription: Subscription) -> bytes:
        record = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name in Subscription.__slots__
            if name not in ("id", "secrets", "headers")
            for value in (getattr(subscription, name),)
            if value or name not in _ADDED
        }
        sealed = self._connection.vault.seal(
            "subscription",
            orjson.dumps({"secrets": subscription.secrets, "headers": subscription.headers}),
            subscription.id,
        )
        return orjson.dumps({**record, "sealed": base64.b64encode(sealed).decode()})

    def unpack(self, subscription_id: str, stored: bytes) -> Subscription:
        """Read a subscription from its stored data. Raises Unreadable."""
        try:
            record = orjson.loads(stored)
            sealed = base64.b64decode(record.pop("sealed"))
            hidden = orjson.loads(self._connection.vault.open("subscription", sealed, subscription_id))
            record["created_at"] = received_iso(
                datetime.fromisoformat(record["created_at"])
            )  # once in seconds
            for name in FILTERS:
                record[name] = frozenset(record.get(name) or ())  # earlier versions had fewer fields
            record["signatures"] = tuple(record.get("signatures", ()))
            record["takes_over"] = [(name, left) for name, left in record.get("takes_over", ())]
            return Subscription(id=subscription_id, events=tuple(record.pop("events")), **record, **hidden)
        except (ValueError, LookupError, TypeError, AttributeError, SealError):
            raise Unreadable(subscription_id) from None
