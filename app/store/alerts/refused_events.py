"""Publishes `callback.refused`, at most once an hour for each source, and with a limit per hour in total.

A flood of made-up sources doesn't cause a flood of events: only some sources of a network are published, the most
frequent first.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from app.events.flatten import received_iso
from app.store.alerts.refused import RefusedCallbacks, Source
from app.store.events.relay_events import RelayEvents
from app.store.server.connection import Connection
from app.store.server.damage import number

_HOUR_MS = 3_600_000
_MOST_AN_HOUR = 20  # and as many again that claim registered devices
_MOST_OF_A_NETWORK = 10


class RefusedEvents:
    """Publishes the events."""

    def __init__(self, connection: Connection, refused: RefusedCallbacks, relay_events: RelayEvents) -> None:
        self._connection = connection
        self._refused = refused
        self._relay_events = relay_events

    def publish(self, now: int | None = None) -> None:
        """Publish an event for each source with callbacks since its last event. `now` is in ms since 1970."""
        now = int(time.time() * 1000) if now is None else now
        recent = [
            source
            for source in self._refused.all()
            if not source.is_noise and source.latest.at * 1000 > now - _HOUR_MS
        ]
        if not recent:
            return
        told = self._told(now)
        networks = Counter(source.network for source in recent if source.id in told)
        for source in sorted(recent, key=lambda one: (not one.latest.registered, -one.count)):
            registered = source.latest.registered
            if source.id in told or (networks[source.network] >= _MOST_OF_A_NETWORK and not registered):
                continue
            if len(told) >= _MOST_AN_HOUR * (2 if registered else 1):
                return
            told[source.id] = now
            networks[source.network] += 1
            note = (self._connection.shards[0].refused_told, source.id, b"", str(now))
            self._relay_events.publish_once("callback.refused", event_fields(source), note, _HOUR_MS // 1000)

    def _told(self, now: int) -> dict[str, float]:
        """Return source → when its event was published, within the last hour. Older entries are removed."""
        client, key = self._connection.redis, self._connection.shards[0].refused_told
        stored = {name.decode(): number(value) for name, value in client.hgetall(key).items()}
        old = [name for name, at in stored.items() if not now - _HOUR_MS < at <= now]
        if old:
            client.hdel(key, *old)
        return {name: at for name, at in stored.items() if name not in old}


def event_fields(source: Source) -> dict[str, Any]:
    """Return a source's fields, for the API and the event."""
    latest = source.latest
    return {
        "address": latest.address,
        "claimed_device_id": latest.device_id or None,
        "auth_token_hint": latest.token_hint or None,
        "http_status": latest.status,
        "reason": latest.reason,
        "message": latest.detail,
        "count": source.count,
        "size_bytes": latest.size,
        "first_refused_at": iso(source.first_at),
        "last_refused_at": iso(latest.at),
    }


def iso(seconds: float) -> str:
    """Return a time in UTC with milliseconds."""
    return received_iso(datetime.fromtimestamp(seconds, UTC))
