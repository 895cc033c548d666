"""Repairs of keys that every process needs when it starts, if their value can be found elsewhere in the store."""

from __future__ import annotations

import re

import redis

from app.base.store_errors import is_wrong_type
from app.store.server.connection import Connection
from app.store.server.keys import DEVICES, Shard
from app.store.server.repairs import note_repair

_DEVICE = re.compile(r"\{s(\d{1,4})\}:device:(.+)", re.DOTALL)


def text_of(connection: Connection, key: str) -> str | None:
    """Return a short text; None if there is none, and an empty one if the key has another type."""
    try:
        stored = connection.redis.get(key)
    except redis.ResponseError as error:
        if not is_wrong_type(error):
            raise
        return ""
    return None if stored is None else str(stored.decode(errors="replace"))


def repair_devices(connection: Connection) -> None:
    """If the list of devices has another type, list the devices again, by their data."""
    if connection.redis.type(DEVICES) in (b"hash", b"none"):
        return
    found: list[str] = []
    for key in connection.redis.scan_iter(match=Shard(0).device("*").replace("{s0}", "{s*}"), count=1_000):
        place = _DEVICE.fullmatch(key.decode(errors="replace"))
        if (
            place is not None
            and connection.redis.type(key) == b"hash"
            and connection.redis.hexists(key, "record")
        ):
            found += (place[2], place[1])
    if connection.script("rebuild_devices")(keys=[DEVICES], args=found):
        note_repair(connection, DEVICES)
