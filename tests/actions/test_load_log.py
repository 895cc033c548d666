"""LoadLog reads windows and pages, returns flat rows, and publishes unknown rows on request."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from simulator.faults import Fault
from tests.actions.tools import KEY, Machine, Maker, events_of, problem
from tests.harness import Receiver, wait_for

START = datetime(2026, 8, 1, tzinfo=UTC)


def punched(one: Machine, count: int, first: datetime, apart: timedelta) -> list[datetime]:
    """Log punches on the device that it doesn't report."""
    online = one.device.online
    one.device.online = False
    times = [first + apart * number for number in range(count)]
    for at in times:
        one.device.punch("7", at=at)
    one.device._unsent.clear()
    one.device.online = online
    return times


def load(one: Machine, start: datetime, end: datetime, **fields: Any) -> dict[str, Any]:
    return one.done("load-log", start_time=start.isoformat(), end_time=end.isoformat(), **fields)


def filters(one: Machine) -> list[dict[str, str]]:
    return [body["Load"]["PunchLog"]["Filter"] for body in one.bodies if "PunchLog" in body.get("Load", {})]


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_long_period_is_requested_in_windows_and_pages_that_are_joined(
    key: str | None, make: Maker
) -> None:
    one = make(timezone="Europe/Berlin", security_key=key)
    times = punched(one, 130, START, timedelta(hours=5))  # 27 days: three pages in the first window
    times += punched(one, 60, START + timedelta(days=40), timedelta(hours=1))  # two in the second
    times += punched(one, 1, START + timedelta(days=89, hours=23), timedelta(0))  # the last hour
    answer = load(one, START, START + timedelta(days=90))
    assert (answer["row_count"], answer["reported_row_count"]) == (191, 191)
    assert [row["occurred_at_utc"] for row in answer["logs"]] == [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in times]
    asked = filters(one)
    windows = list(dict.fromkeys((asked_for["StartTime"], asked_for["EndTime"]) for asked_for in asked))
    assert len(windows) == 4  # 90 days and one second
    parsed = [[datetime.strptime(text, "%Y-%m-%d %H:%M:%S GMT %z") for text in window] for window in windows]
    assert parsed[0][0] == START and parsed[-1][1] == START + timedelta(days=90)
    assert all(last - first < timedelta(days=30) for first, last in parsed)
    assert all(later[0] - earlier[1] == timedelta(seconds=1) for earlier, later in itertools.pairwise(parsed))
    assert ["OffSet" in asked_for for asked_for in asked] == [False, True, True, False, True, False, False]
    ids = [body["OperationID"] for body in one.bodies]
    assert len(set(ids)) == len(ids) and ids[0] == answer["operation_id"]
    assert one.command(answer["command_id"])["logs"] == answer["logs"]


def test_rows_are_flat_punches(one: Machine) -> None:
    one.device.push_batch([])
    one.device.punch("7", "OverTimeOut", "Face", 36.8, True, datetime(2026, 11, 20, 3, 0, tzinfo=UTC))
    (row,) = load(one, datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))["logs"]
    assert all(value is None or isinstance(value, str | int | float | bool) for value in row.values())
    shown = {name: row[name] for name in ("user_id", "punch_type", "direction", "input_type", "face_mask")}
    assert shown == {
        "user_id": "7",
        "punch_type": "overtime_out",
        "direction": "out",
        "input_type": "face",
        "face_mask": True,
    }
    assert (row["temperature_celsius"], row["occurred_at"]) == (36.8, "2026-11-20T03:00:00+00:00")
    assert (row["local_date"], row["local_time"], row["device_id"]) == ("2026-11-20", "03:00:00", one.id)


def test_the_documented_response_is_read(one: Machine) -> None:
    """Its ReturnRowCount is 18, but its Log has three rows. The result contains both numbers."""
    log = [
        {
            "Type": "CheckOut",
            "Temperature": 36.8,
            "InputType": "Face",
            "UserID": "2",
            "LogTime": "2020-09-17 16:53:43 GMT +0530",
            "FaceMask": False,
        },
        {"Type": "CheckIn", "InputType": "Iris", "UserId": 3, "LogTime": "2020-09-17 09:01:44 GMT +0530"},
        {"Type": "CheckIn", "InputType": "Palm", "LogTime": "2020-09-17 09:01:44 GMT +0530"},
    ]
    one.fault(Fault(body=json.dumps({"Status": "done", "PunchLog": {"ReturnRowCount": "18", "Log": log}})))
    answer = load(one, datetime(2020, 9, 17, tzinfo=UTC), datetime(2020, 9, 18, tzinfo=UTC))
    assert (answer["row_count"], answer["reported_row_count"]) == (2, 18)
    assert [row["user_id"] for row in answer["logs"]] == ["2", "3"]


def test_an_empty_period_is_not_an_error(one: Machine) -> None:
    answer = load(one, START, START, publish=True)
    assert (answer["row_count"], answer["reported_row_count"], answer["logs"]) == (0, 0, [])
    assert answer["published_count"] == 0


def test_a_repeated_offset_ends_paging(one: Machine) -> None:
    row = {"Type": "CheckIn", "UserID": "2", "LogTime": "2020-09-17 16:53:43 GMT +0530"}
    page = {"ReturnRowCount": "1", "Log": [row], "OffSet": "the same"}
    body = json.dumps({"Status": "done", "PunchLog": page})
    one.fault(*[Fault(body=body)] * 5)
    assert load(one, START, START)["row_count"] == 2
    assert len(one.bodies) == 2


def test_an_unreadable_page_does_not_end_paging(one: Machine) -> None:
    unreadable = {"ReturnRowCount": "1", "Log": [{"UserID": "2", "LogTime": "noon"}], "OffSet": "next"}
    last = {"ReturnRowCount": "1", "Log": [{"UserID": "2", "LogTime": "2020-09-17 16:53:43 GMT +0530"}]}
    one.fault(*[Fault(body=json.dumps({"Status": "done", "PunchLog": page})) for page in (unreadable, last)])
    answer = load(one, START, START)
    assert (answer["row_count"], answer["reported_row_count"]) == (1, 2)


def test_an_error_on_a_later_page_fails_the_command(one: Machine) -> None:
    punched(one, 60, START, timedelta(minutes=1))
    one.fault(Fault(delay=0.01), Fault(status_code=11))
    answer = one.act(
        "load-log", start_time=START.isoformat(), end_time=(START + timedelta(days=1)).isoformat()
    )
    assert problem(answer, 422)["status_code"] == 11


def test_publish_creates_one_event_per_unknown_row(make: Maker, receiver: Receiver) -> None:
    one = make()
    one.relay.subscribe(receiver, one.registered, events=["attendance.punch"])
    now = datetime.now(UTC).replace(microsecond=0)
    one.device.punch("7", at=now - timedelta(hours=3))
    wait_for(lambda: len(events_of(one, "attendance.punch")) == 1)
    missed = punched(one, 70, now - timedelta(hours=2), timedelta(minutes=1))
    quiet = load(one, now - timedelta(days=1), now)
    assert (quiet["row_count"], quiet["published_count"]) == (71, None)
    assert len(events_of(one, "attendance.punch")) == 1  # requested without publish
    result = load(one, now - timedelta(days=1), now, publish=True)
    assert (result["row_count"], result["published_count"]) == (71, 70)
    assert load(one, now - timedelta(days=40), now, publish=True)["published_count"] == 0
    one.device.push_batch([row for row in one.device.logs if row.at in missed[:5]])  # and as a callback, late
    wait_for(lambda: not len(one.device.outbox))
    events = events_of(one, "attendance.punch")
    assert len({event["punch_id"] for event in events}) == len(events) == 71
    assert all(event["revision"] == 1 for event in events)
    assert {event["operation"] for event in events[1:]} == {"LoadLog"}
    assert {event["punch_id"] for event in events} == {row["punch_id"] for row in result["logs"]}
    wait_for(lambda: len(receiver.events()) == 71)


def test_concurrent_publishing_on_many_devices_publishes_each_row_once(make: Maker) -> None:
    one = make()
    now = datetime.now(UTC).replace(microsecond=0)
    punched(one, 20, now - timedelta(hours=1), timedelta(seconds=30))
    period = {
        "start_time": (now - timedelta(days=1)).isoformat(),
        "end_time": now.isoformat(),
        "publish": True,
    }
    ids = [one.queued("load-log", **period) for _ in range(3)]
    assert sorted(one.ended(command_id)["published_count"] for command_id in ids) == [0, 0, 20]
    assert len(events_of(one, "attendance.punch")) == 20
