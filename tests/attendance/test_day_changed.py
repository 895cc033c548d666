"""`attendance.day_changed`: gathered, told once, and not lost with a process that dies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from app.events.types import FIELDS
from app.settings import load
from app.store import Store
from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, row
from tests.harness import Receiver, Relay, wait_for


def told(relay: Relay, user: str) -> list[dict[str, Any]]:
    return relay.events(user_id=user, type="attendance.day_changed")


def test_a_storm_of_punches_is_one_event_and_a_late_one_the_next(office: Relay, receiver: Receiver) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(2)
    office.subscribe(receiver, events=["attendance.*"], filters={"user_ids": [user]})
    for minute in range(30):
        punch(device, user, at(day, f"09:{minute:02d}"))
    wait_for(lambda: told(office, user), 20)
    (event,) = told(office, user)
    assert tuple(event) == FIELDS["attendance.day_changed"]
    shown = row(office, day, user)
    assert {name: event[name] for name in shown} == shown
    assert (event["revision"], event["punch_count"], event["device_id"]) == (1, 30, None)

    # The worker dies; the change is told by the next one.
    office.kill("worker")
    punch(device, user, at(day, "18:00"))
    punch(device, user, at(day, "18:00"))  # a duplicate
    office.start("worker")
    wait_for(lambda: len(told(office, user)) == 2, 30)
    assert told(office, user)[-1]["revision"] == 2
    assert told(office, user)[-1]["last_out"] == f"{day}T18:00:00+05:30"
    wait_for(lambda: len([e for e in receiver.events() if e["type"] == "attendance.day_changed"]) == 2, 20)


def test_what_shows_no_change_is_not_told_again_and_a_day_with_one_end_is_looked_at_when_it_is_over(
    office: Relay,
) -> None:
    device, user, alone, day, yesterday = (
        office.device(timezone=KOLKATA),
        a_user(),
        a_user(),
        days_ago(8),
        days_ago(1),
    )
    punch(device, user, at(day, "09:00"))
    punch(device, user, at(day, "17:00"))
    punch(device, alone, at(yesterday, "05:00"))
    wait_for(lambda: told(office, user) and told(office, alone), 20)
    store = Store(load(office.environment))
    client, changed = store.connection.redis, store.connection.shards[0].attendance_changed

    rest = client.zscore(changed, f"{yesterday}\x1f{alone}")
    (event,) = told(office, alone)
    if event["day_over"]:
        assert rest is None and event["missing_punch"] is True
    else:  # it is not four in the morning yet
        assert abs(rest / 1000 - at(yesterday + timedelta(days=1), "04:00").timestamp()) < 60

    # Two who publish at once, of whom another died before it could say that it was done.
    client.zadd(changed, {f"{day}\x1f{user}": 1})
    for each in [Store(load(office.environment)).attendance_changes for _ in range(2)]:
        each.publish_due()
    assert len(told(office, user)) == 1
