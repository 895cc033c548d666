"""`attendance.day_changed` groups changes, is published once per change, and survives crashes."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

from app.events.types import FIELDS
from app.settings.table import load
from app.store import Store
from app.store.attendance.index import told_field
from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, row
from tests.harness import ROOT, Receiver, Relay, wait_for


def published_days(relay: Relay, user: str) -> list[dict[str, Any]]:
    return relay.events(user_id=user, type="attendance.day_changed")


def test_many_punches_are_one_event_and_a_late_punch_is_another(office: Relay, receiver: Receiver) -> None:
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(2)
    office.subscribe(receiver, events=["attendance.*"], filters={"user_ids": [user]})
    for minute in range(30):
        punch(device, user, at(day, f"09:{minute:02d}"))
    wait_for(lambda: published_days(office, user), 20)
    (event,) = published_days(office, user)
    assert tuple(event) == FIELDS["attendance.day_changed"]
    shown = row(office, day, user)
    assert {name: event[name] for name in shown} == shown
    assert (event["revision"], event["punch_count"], event["device_id"]) == (1, 30, None)

    # The worker dies; the next one publishes the change.
    office.kill("worker")
    punch(device, user, at(day, "18:00"))
    punch(device, user, at(day, "18:00"))  # a duplicate
    office.start("worker")
    wait_for(lambda: len(published_days(office, user)) == 2, 30)
    assert published_days(office, user)[-1]["revision"] == 2
    assert published_days(office, user)[-1]["last_out"] == f"{day}T18:00:00+05:30"
    wait_for(lambda: len([e for e in receiver.events() if e["type"] == "attendance.day_changed"]) == 2, 20)


def test_people_who_share_a_user_id_continue_its_revisions(office: Relay, receiver: Receiver) -> None:
    """For a receiver, each is a new version of the day that was published for both together."""
    office.subscribe(receiver, events=["attendance.day_changed"])
    first, second = office.device(timezone=KOLKATA), office.device(timezone=KOLKATA)
    user, day = a_user(), days_ago(2)
    path, on_device = f"/v1/employees/{user}", {"device_id": first.id}
    for clock, count in (("08:00", 1), ("09:00", 2)):
        punch(first, user, at(day, clock))
        wait_for(lambda count=count: len(published_days(office, user)) == count, 30)
    office.call("PUT", path, json={"employee_id": "E-JOHN"}, params=on_device).raise_for_status()
    office.call("PUT", path, json={"employee_id": "E-MARY"}).raise_for_status()
    punch(second, user, at(day, "10:00"))
    wait_for(lambda: len(published_days(office, user)) == 4, 30)
    shown = {event["employee_id"]: event["revision"] for event in published_days(office, user)}
    assert shown == {None: 2, "E-JOHN": 3, "E-MARY": 3}
    punch(first, user, at(day, "11:00"))
    wait_for(lambda: len(published_days(office, user)) == 5, 30)
    assert (
        published_days(office, user)[-1]["employee_id"],
        published_days(office, user)[-1]["revision"],
    ) == ("E-JOHN", 4)
    # No longer by device: who it is goes on from the highest.
    office.call("DELETE", path, params=on_device).raise_for_status()
    office.call("PUT", path, json={"employee_id": "E-JOHN"}).raise_for_status()
    punch(first, user, at(day, "12:00"))
    wait_for(lambda: len(published_days(office, user)) == 6, 30)
    assert (
        published_days(office, user)[-1]["employee_id"],
        published_days(office, user)[-1]["revision"],
    ) == ("E-JOHN", 5)


def test_employee_ids_are_stored_as_digests_in_the_record_of_published_days(
    office: Relay, receiver: Receiver
) -> None:
    office.subscribe(receiver, events=["attendance.day_changed"])
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(2)
    other = office.device(timezone=KOLKATA)
    names = {device.id: "E-" + a_user(), other.id: "E-" + a_user()}
    for device_id, name in names.items():
        on_device = {"device_id": device_id}
        office.call(
            "PUT", f"/v1/employees/{user}", json={"employee_id": name}, params=on_device
        ).raise_for_status()
    for one in (device, other):
        punch(one, user, at(day, "09:00"))
    wait_for(lambda: len(published_days(office, user)) == 2, 30)
    store = Store(load(office.environment))
    client, shard = store.connection.redis, store.connection.shards[0]
    key = shard.attendance_told(str(day))

    def noted() -> dict[bytes, bytes]:
        return {name: note for name, note in client.hgetall(key).items() if user.encode() in name}

    before = noted()
    assert len(before) == 2 and not any(name.encode() in field for field in before for name in names.values())

    # In the format of earlier versions. No event is published again, and a new one has the next revision.
    field = told_field(store.connection.vault, user, names[device.id]).encode()
    client.hdel(key, field)
    client.hset(key, f"{user}\x1f{names[device.id]}", before[field].replace(b"1 ", b"6 ", 1))
    client.zadd(shard.attendance_changed, {f"{day}\x1f{user}": 1})
    wait_for(lambda: client.zscore(shard.attendance_changed, f"{day}\x1f{user}") is None, 30)
    assert len(published_days(office, user)) == 2
    punch(device, user, at(day, "17:00"))
    wait_for(lambda: any(event["punch_count"] == 2 for event in published_days(office, user)), 30)
    assert published_days(office, user)[-1]["revision"] == 7

    # If a person is forgotten on one device, their data there is erased, and that of the other person is kept.
    command = [sys.executable, "-m", "app", "forget", "--user", user, "--device", device.id, "--yes"]
    subprocess.run(command, cwd=ROOT, env=office.environment, capture_output=True, check=True)
    of_other = told_field(store.connection.vault, user, names[other.id]).encode()
    assert set(noted()) <= {of_other, user.encode()} and of_other in noted()


def test_nothing_is_published_if_no_subscription_includes_it(office: Relay, receiver: Receiver) -> None:
    for subscription in office.get("/v1/subscriptions")["data"]:
        office.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
    office.subscribe(receiver, events=["*"])
    device, user, day = office.device(timezone=KOLKATA), a_user(), days_ago(3)
    for clock in ("09:00", "17:00"):
        punch(device, user, at(day, clock))
    changed = Store(load(office.environment)).connection
    wait_for(lambda: row(office, day, user)["punch_count"] == 2, 20)
    wait_for(
        lambda: changed.redis.zscore(changed.shards[0].attendance_changed, f"{day}\x1f{user}") is None, 30
    )
    assert published_days(office, user) == []


def test_unchanged_days_are_not_published_again_and_open_days_are_checked_at_their_end(
    office: Relay,
    receiver: Receiver,
) -> None:
    office.subscribe(receiver, events=["attendance.day_changed"])
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
    wait_for(lambda: published_days(office, user) and published_days(office, alone), 20)
    store = Store(load(office.environment))
    client, changed = store.connection.redis, store.connection.shards[0].attendance_changed

    rest = client.zscore(changed, f"{yesterday}\x1f{alone}")
    (event,) = published_days(office, alone)
    if event["day_over"]:
        assert rest is None and event["missing_punch"] is True
    else:  # it is not four in the morning yet
        assert abs(rest / 1000 - at(yesterday + timedelta(days=1), "04:00").timestamp()) < 60

    # Two processes publish at once, after another one died before it could record that it was done.
    client.zadd(changed, {f"{day}\x1f{user}": 1})
    for each in [Store(load(office.environment)).attendance_changes for _ in range(2)]:
        each.publish_due()
    assert len(published_days(office, user)) == 1
