"""Reading events: filters, pages, samples and CSV. Contract §5."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.events.types import EVENT_TYPES, FIELDS, SCHEMAS
from app.gateway.operations import CALLBACKS
from tests.harness import Device, Relay
from tests.relay.tools import events, ids, problem


@pytest.fixture(scope="module")
def mixed(relay: Relay) -> Device:
    """A device with events of several types and users."""
    device = relay.device()
    for number in range(1, len(CALLBACKS) + 1):
        device.send_done(device.sample(number))
    for user in ("2", "5", "8", "2"):
        device.send_done(device.punch(user=user))
    return device


# Filters


def test_events_come_newest_first(relay: Relay, mixed: Device) -> None:
    page = relay.get("/v1/events", params={"device_id": mixed.id, "limit": 200})
    assert set(page) == {"data", "next_cursor"} and page["next_cursor"] is None
    found = ids(page["data"])
    assert found == sorted(found, reverse=True) and len(found) == 18


@pytest.mark.parametrize(
    "query, takes",
    [
        ({"type": "attendance.punch"}, lambda e: e["type"] == "attendance.punch"),
        ({"type": "user.*"}, lambda e: e["type"].startswith("user.")),
        ({"type": "attendance.*,user.deleted"}, lambda e: e["type"] in ATTENDANCE_AND_DELETED),
        ({"type": "*"}, lambda e: True),
        ({"user_id": "2"}, lambda e: e.get("user_id") == "2"),
        ({"user_id": "nobody"}, lambda e: False),
        ({"type": "subscription.disabled"}, lambda e: False),
        (
            {"type": "attendance.punch", "user_id": "2"},
            lambda e: e["type"] == "attendance.punch" and e["user_id"] == "2",
        ),
        (
            {"type": "credential.*", "user_id": "8"},
            lambda e: e["type"] == "credential.updated" and e["user_id"] == "8",
        ),
    ],
    ids=str,
)
def test_filters_work_alone_and_combined(mixed: Device, query: dict[str, Any], takes: Any) -> None:
    expected = [event["id"] for event in events(mixed) if takes(event)]
    assert ids(events(mixed, **query)) == expected


ATTENDANCE_AND_DELETED = {"attendance.punch", "attendance.photo", "user.deleted"}


def test_occurred_since_and_until_are_times_of_the_events(relay: Relay, mixed: Device) -> None:
    device = relay.device()
    for days, user in ((3, "3"), (1, "1"), (2, "2")):  # late, and not in order
        device.send_done(device.punch(user, at=datetime.now(UTC) - timedelta(days=days)))
    found = {one["user_id"]: one for one in events(device)}
    at = found["2"]["occurred_at"]

    def users(**query: str) -> list[str]:
        page = relay.get("/v1/events", params={"device_id": device.id, **query})
        return [one["user_id"] for one in page["data"]]

    assert users(occurred_since=at) == ["2", "1"]
    assert users(occurred_until=at) == ["2", "3"]
    assert users(occurred_since=at, occurred_until=found["2"]["occurred_at_utc"]) == ["2"]
    assert users(occurred_since=found["1"]["received_at"]) == []
    params = {"device_id": device.id, "occurred_since": at}
    table = relay.call("GET", "/v1/events.csv", params=params).text
    assert [row["user_id"] for row in csv.DictReader(io.StringIO(table))] == ["2", "1"]
    for query in ({"occurred_since": "soon"}, {"occurred_until": "1"}):
        problem(relay.call("GET", "/v1/events", params=query), 422, *query)
    reversed_times = {"occurred_since": at, "occurred_until": found["3"]["occurred_at"]}
    problem(relay.call("GET", "/v1/events", params=reversed_times), 422, "occurred_until")
    made_by_the_relay = relay.get("/v1/events", params={"occurred_since": "2020-01-01", "type": "*"})
    assert made_by_the_relay["data"]


def test_since_and_until_are_times_of_receipt(relay: Relay, mixed: Device) -> None:
    all_events = events(mixed)
    middle = all_events[9]["received_at"]
    before = [event["id"] for event in all_events if event["received_at"] < middle]
    after = [event["id"] for event in all_events if event["received_at"] > middle]
    one_ms = timedelta(milliseconds=50)
    at = datetime.fromisoformat(middle)
    later = ids(events(mixed, since=middle))
    assert set(after) <= set(later) and all_events[9]["id"] in later
    earlier = ids(events(mixed, until=(at + one_ms).isoformat()))
    assert set(before) <= set(earlier) and all_events[9]["id"] in earlier
    both = events(mixed, since=middle, until=(at + one_ms).isoformat())
    assert set(ids(both)) == set(later) & set(earlier)
    assert events(mixed, since="2100-01-01") == events(mixed, until="2000-01-01T00:00:00+05:30") == []
    assert ids(events(mixed, since="2000-01-01 00:00:00")) == ids(all_events)


@pytest.mark.parametrize(
    "query, field",
    [
        ({"type": "attendance"}, "type"),
        ({"type": "attendance.punch,nonsense.*"}, "type"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-02-30"}, "until"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"limit": "201"}, "limit"),
        ({"limit": "0"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"order": "up"}, "order"),
        ({"after": "evt_01kay8ds0r000000"}, "after"),
        ({"after": "evt_01kay8ds0r000000", "order": "desc"}, "after"),
        ({"after": "5", "order": "asc"}, "after"),
    ],
    ids=str,
)
def test_an_invalid_parameter_is_422_and_named(relay: Relay, query: dict[str, str], field: str) -> None:
    problem(relay.call("GET", "/v1/events", params=query), 422, field)
    problem(relay.call("GET", "/v1/events.csv", params=query), 422, field)


def test_an_event_is_read_by_its_id(relay: Relay, mixed: Device) -> None:
    for event in events(mixed, type="attendance.punch"):
        assert relay.get(f"/v1/events/{event['id']}") == event


# Pages


@pytest.mark.parametrize("limit", [1, 3, 7])
@pytest.mark.parametrize("query", [{}, {"type": "attendance.*"}, {"user_id": "2"}], ids=str)
def test_pages_have_no_gaps_while_new_events_arrive(relay: Relay, limit: int, query: dict[str, Any]) -> None:
    device = relay.device()
    for number in (11, 6, 3, 10):
        device.send_done(device.sample(number))
    for _ in range(9):
        device.send_done(device.punch())
    expected = ids(events(device, **query))[::-1]
    found: list[str] = []
    cursor = None
    while True:
        page = relay.get(
            "/v1/events", params={"device_id": device.id, "limit": limit, "cursor": cursor, **query}
        )
        assert len(page["data"]) <= limit
        found += ids(page["data"])
        device.send_done(device.punch())
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == expected


def test_the_newest_events_can_be_polled_by_id(relay: Relay) -> None:
    device = relay.device()
    seen: set[str] = set()
    for turn in range(5):
        device.send_done(device.punch(user=str(turn)))
        page = relay.get("/v1/events", params={"device_id": device.id, "type": "attendance.punch"})
        new = [event for event in page["data"] if event["id"] not in seen]
        assert [event["user_id"] for event in new] == [str(turn)]
        seen |= set(ids(new))


def test_order_asc_reverses_pages_and_csv(relay: Relay, mixed: Device) -> None:
    query = {"device_id": mixed.id, "limit": 200}
    newest_first = ids(relay.get("/v1/events", params=query)["data"])
    page = relay.get("/v1/events", params={**query, "order": "asc"})
    assert ids(page["data"]) == newest_first[::-1] and page["next_cursor"] is None
    text = relay.call("GET", "/v1/events.csv", params={**query, "order": "asc"}).text
    assert [row["id"] for row in csv.DictReader(io.StringIO(text.lstrip("\ufeff")))] == newest_first[::-1]
    assert ids(relay.get("/v1/events", params={**query, "order": "desc"})["data"]) == newest_first


@pytest.mark.parametrize("query", [{}, {"type": "attendance.*,user.deleted"}, {"user_id": "2,5"}], ids=str)
def test_after_selects_what_came_after_an_event(relay: Relay, mixed: Device, query: dict[str, Any]) -> None:
    expected = ids(events(mixed, **query))
    query = {**query, "device_id": mixed.id, "order": "asc", "limit": 200}
    for number, event_id in enumerate(expected, 1):
        assert ids(relay.get("/v1/events", params={**query, "after": event_id})["data"]) == expected[number:]
    since = relay.get(f"/v1/events/{expected[1]}")["received_at"]
    later = ids(relay.get("/v1/events", params={**query, "since": since, "after": expected[0]})["data"])
    assert later == expected[1:]
    assert (
        relay.get("/v1/events", params={**query, "after": expected[0], "until": "2000-01-01"})["data"] == []
    )


# Samples


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_samples_are_one_to_three_flat_events_of_the_type(relay: Relay, event_type: str) -> None:
    samples = relay.get("/v1/events/samples", params={"type": event_type})
    assert 1 <= len(samples) <= 3
    for sample in samples:
        assert sample["type"] == event_type
        SCHEMAS[event_type]().load(sample)
        assert tuple(sample) == FIELDS[event_type]


def test_samples_are_real_events_or_generated_if_there_are_none(relay: Relay, mixed: Device) -> None:
    newest = relay.get("/v1/events", params={"type": "attendance.punch", "limit": 3})["data"]
    samples = relay.get("/v1/events/samples", params={"type": "attendance.punch"})
    assert ids(samples) == ids(newest) and not any(sample["test"] for sample in samples)
    if not relay.get("/v1/events", params={"type": "command.failed"})["data"]:
        made = relay.get("/v1/events/samples", params={"type": "command.failed"})
        assert made and all(sample["test"] for sample in made)
    problem(relay.call("GET", "/v1/events/samples", params={"type": "nonsense"}), 422, "type")
    assert isinstance(relay.get("/v1/events/samples"), list)


# CSV


def as_csv(relay: Relay, **query: Any) -> list[dict[str, str]]:
    answer = relay.call("GET", "/v1/events.csv", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


@pytest.mark.parametrize(
    "query", [{}, {"type": "attendance.punch"}, {"type": "user.*"}, {"user_id": "8"}, {"since": "2100-01-01"}]
)
def test_csv_has_the_same_rows_as_the_pages(relay: Relay, mixed: Device, query: dict[str, str]) -> None:
    rows = as_csv(relay, device_id=mixed.id, **query)
    expected = events(mixed, **query)[::-1]
    assert [row["id"] for row in rows] == ids(expected)
    texts = {None: "", True: "true", False: "false"}
    for row, event in zip(rows, expected, strict=True):
        for name, value in event.items():
            if not name.endswith("_url"):
                plain = texts[value] if value is None or isinstance(value, bool) else str(value)
                assert row[name].lstrip("'") == plain


def test_csv_accepts_limit_and_cursor(relay: Relay, mixed: Device) -> None:
    expected = ids(events(mixed))[::-1]
    assert [row["id"] for row in as_csv(relay, device_id=mixed.id, limit=3)] == expected[:3]
    page = relay.get("/v1/events", params={"device_id": mixed.id, "limit": 3})
    rest = as_csv(relay, device_id=mixed.id, cursor=page["next_cursor"])
    assert [row["id"] for row in rest] == expected[3:]


@pytest.mark.parametrize(
    "name", ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", 'a "b", c', "Zoë\u2028x"]
)
def test_a_name_that_is_a_formula_is_quoted_in_csv(relay: Relay, device: Device, name: str) -> None:
    device.send_done(device.envelope(UserUpdated={"UserID": "2", "FirstName": name}))
    (row,) = as_csv(relay, device_id=device.id)
    assert row["first_name"] == ("'" if name[0] in "=+-@" else "") + events(device)[0]["first_name"]


def test_csv_with_thousands_of_rows_is_complete(relay: Relay, device: Device) -> None:
    rows = [device.punch(user=str(number))["RealTime"]["PunchLog"] for number in range(1_500)]
    device.send_done(device.envelope(PunchLog={"Log": rows}))
    found = as_csv(relay, device_id=device.id, type="attendance.punch")
    assert [int(row["user_id"]) for row in found] == list(range(1_500))[::-1]
