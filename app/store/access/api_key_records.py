"""What is stored about an API key: its record, without the key itself."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from app.events.flatten import received_iso
from app.store.server.damage import left_out

_PREVIOUS = ("previous_key_hint", "previous_key_expires_at")  # missing from records of earlier versions


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key's record as it was read, so that a change doesn't overwrite somebody else's."""

    digest: str
    stored: bytes
    record: dict[str, Any]


def new_key() -> str:
    """Return 192 random bits after a prefix that secret scanners can search for."""
    return f"crk_{secrets.token_urlsafe(24)}"


def new_record(
    key_id: str,
    name: str,
    key: str,
    scopes: list[str],
    expires_at: datetime | None,
    device_ids: list[str] | None = None,
) -> dict[str, Any]:
    """Return the record of a new key."""
    return {
        "id": key_id,
        "name": name,
        "scopes": sorted(set(scopes)),
        "device_ids": None if device_ids is None else sorted(set(device_ids)),
        "key_hint": key[-4:],
        "created_at": received_iso(datetime.now(UTC)),
        "expires_at": received_iso(expires_at) if expires_at else None,
        **dict.fromkeys(_PREVIOUS),
    }


def rotated_record(record: dict[str, Any], key: str, previous_until: datetime) -> dict[str, Any]:
    """Return the record with a new key. The previous one is valid until `previous_until`, unless that has passed."""
    shared = previous_until > datetime.now(UTC)
    return {
        **record,
        "key_hint": key[-4:],
        "previous_key_hint": record["key_hint"] if shared else None,
        "previous_key_expires_at": received_iso(previous_until) if shared else None,
    }


def read_record(stored: bytes) -> dict[str, Any] | None:
    """Read a key's record; None if it can't be read, which is logged, so that it doesn't affect other keys."""
    with left_out("an API key"):
        record: dict[str, Any] = orjson.loads(stored)
        if not all(isinstance(record[name], str) for name in ("id", "name", "created_at")):
            raise ValueError("no text")
        frozenset(map(str.encode, record["scopes"]))
        record.setdefault("device_ids", None)  # missing from records of earlier versions
        if record["device_ids"] is not None:
            frozenset(map(str.encode, record["device_ids"]))
        if record["expires_at"]:
            record["expires_at"] = received_iso(datetime.fromisoformat(record["expires_at"]))
        until = record.get("previous_key_expires_at")
        if until is None or has_passed(until):
            record |= dict.fromkeys(_PREVIOUS)
        return record
    return None


def has_passed(time: str | None) -> bool:
    """Return whether a time in a record has passed; False for None."""
    return time is not None and datetime.fromisoformat(time) <= datetime.now(UTC)
