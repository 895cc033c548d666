"""Helpers for the tests of attendance: punches at a local time, and the shown fields of a day."""

from __future__ import annotations

import secrets
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.harness import Device, Relay

KOLKATA = "Asia/Kolkata"


def a_user() -> str:
    """Return a user ID that no other test uses."""
    return secrets.token_hex(5)


def days_ago(days: int, zone: str = KOLKATA) -> date:
    return (datetime.now(ZoneInfo(zone)) - timedelta(days=days)).date()


def at(day: date, clock: str, zone: str = KOLKATA) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(zone))


def punch(device: Device, user: str, moment: datetime, **fields: Any) -> None:
    device.send_done(device.punch(user, moment, **fields))


def rows(relay: Relay, day: date, **query: Any) -> list[dict[str, Any]]:
    """Return all rows of a day, from all pages."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = relay.get("/v1/attendance", params={"date": str(day), "cursor": cursor, **query})
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def row(relay: Relay, day: date, user: str, **query: Any) -> dict[str, Any]:
    """Return a person's only row on a day."""
    (found,) = rows(relay, day, user_id=user, **query)
    return found
