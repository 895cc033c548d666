"""Attendance on every kind of store, with punches on several shards. Its content is tested in tests/attendance."""

from __future__ import annotations

import secrets
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.base.natural_order import natural_key
from tests.harness import Receiver, Relay, wait_for
from tests.relay.tools import cursor_at

ZONE = ZoneInfo("Asia/Kolkata")


def test_a_day_across_shards_is_shown_and_published(relay: Relay, receiver: Receiver) -> None:
    devices = [relay.device(timezone="Asia/Kolkata") for _ in range(8)]
    day = (datetime.now(ZONE) - timedelta(days=2)).date()
    users = [f"{secrets.token_hex(6)}-{number}" for number in range(5)]
    users.sort(key=natural_key)
    relay.subscribe(receiver, events=["attendance.day_changed", "user.unknown"], filters={"user_ids": users})
    devices[0].send_done(devices[0].sample(4))  # now the device's users are known
    for user in users:
        for hour, device in enumerate(devices, 9):
            device.send_done(device.punch(user, datetime.combine(day, time(hour), ZONE)))
    wait_for(lambda: len(receiver.events()) >= 5, 30)  # unknown users, until they are on the list
    changes = {"employees": [{"user_id": user, "employee_id": f"E{user}"} for user in users]}
    assert relay.call("POST", "/v1/employees", json=changes).json()["added"] == 5

    found: list[dict[str, Any]] = []
    cursor = cursor_at(relay, "/v1/attendance", users[0][:-2], date=day)
    while cursor and len(found) < len(users):
        page = relay.get("/v1/attendance", params={"date": str(day), "limit": 2, "cursor": cursor})
        found += [row for row in page["data"] if row["user_id"] in users]
        cursor = page["next_cursor"]
    assert [row["user_id"] for row in found] == users
    assert {(row["worked_hours"], row["punch_count"], row["employee_id"][1:] in users) for row in found} == {
        (7.0, 8, True)
    }
    wait_for(lambda: len(receiver.events()) >= 10, 30)
    published = [(event["type"], event["user_id"]) for event in receiver.events()]
    assert sorted(published) == sorted(
        (name, user) for name in ("attendance.day_changed", "user.unknown") for user in users
    )
    assert {event["punch_count"] for event in receiver.events() if "punch_count" in event} == {8}
