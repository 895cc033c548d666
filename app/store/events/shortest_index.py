"""Finds the streams that contain all events of a query in a shard, and little else."""

from __future__ import annotations

from app.events.types import EVENT_TYPES, matches
from app.store.events.query import Query
from app.store.server.connection import Connection
from app.store.server.keys import Shard


def shortest_index(connection: Connection, shard: Shard, query: Query) -> list[str]:
    """Return the streams by user, by device or by type, whichever contain the fewest entries; else that of all."""
    choices: list[list[str]] = []
    if query.user_ids:
        choices.append([shard.by_user(user_id) for user_id in query.user_ids])
    if query.device_ids:
        choices.append([shard.by_device(device_id) for device_id in query.device_ids])
    if query.types:
        choices.append(
            [
                shard.by_type(event_type)
                for event_type in EVENT_TYPES
                if any(matches(pattern, event_type) for pattern in query.types)
            ]
        )
    if len(choices) < 2:
        return choices[0] if choices else [shard.events]
    return min(choices, key=lambda streams: sum(connection.redis.xlen(stream) for stream in streams))
