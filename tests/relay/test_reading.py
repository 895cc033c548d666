"""Reading events: filters, pages, samples, CSV and a stream. Contract §5."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from app.api import events as events_api
from app.base.ids import event_id
from app.events.types import EVENT_TYPES, FIELDS, SCHEMAS
from app.events.types import sample as made_up
from app.gateway.operations import CALLBACKS
from app.settings.table import load
from app.store import Store
from app.store.events.reading import Query
from tests.harness import API_KEY, Device, Receiver, Relay, wait_for
from tests.relay.test_rekey import cli
from tests.relay.tools import events, problem, stream_ends


@pytest.fixture(scope="module")
def mixed(relay: Relay) -> Device:
    """A device with events of several types and users."""
    device = relay.device()
    for number in range(1, len(CALLBACKS) + 1):
        device.send_done(device.sample(number))
    for user in ("2", "5", "8", "2"):
        device.send_done(device.punch(user=user))
    return device


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in found]


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
def test_filters_alone_and_together(mixed: Device, query: dict[str, Any], takes: Any) -> None:
    expected = [event["id"] for event in events(mixed) if takes(event)]
    assert ids(events(mixed, **query)) == expected


ATTENDANCE_AND_DELETED = {"attendance.punch", "attendance.photo", "user.deleted"}


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
    ],
    ids=str,
)
def test_a_wrong_parameter_is_422_and_named(relay: Relay, query: dict[str, str], field: str) -> None:
    problem(relay.call("GET", "/v1/events", params=query), 422, field)
    problem(relay.call("GET", "/v1/events.csv", params=query), 422, field)


def test_one_event_by_its_id(relay: Relay, mixed: Device) -> None:
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


def test_the_newest_can_be_polled_by_their_ids(relay: Relay) -> None:
    device = relay.device()
    seen: set[str] = set()
    for turn in range(5):
        device.send_done(device.punch(user=str(turn)))
        page = relay.get("/v1/events", params={"device_id": device.id, "type": "attendance.punch"})
        new = [event for event in page["data"] if event["id"] not in seen]
        assert [event["user_id"] for event in new] == [str(turn)]
        seen |= set(ids(new))


# Samples


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_samples_are_one_to_three_flat_events_of_the_type(relay: Relay, event_type: str) -> None:
    samples = relay.get("/v1/events/samples", params={"type": event_type})
    assert 1 <= len(samples) <= 3
    for sample in samples:
        assert sample["type"] == event_type
        SCHEMAS[event_type]().load(sample)
        assert tuple(sample) == FIELDS[event_type]


def test_samples_are_real_first_and_made_where_there_are_none(relay: Relay, mixed: Device) -> None:
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


def test_csv_takes_limit_and_cursor(relay: Relay, mixed: Device) -> None:
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


def test_csv_of_thousands_of_rows_is_whole(relay: Relay, device: Device) -> None:
    rows = [device.punch(user=str(number))["RealTime"]["PunchLog"] for number in range(1_500)]
    device.send_done(device.envelope(PunchLog={"Log": rows}))
    found = as_csv(relay, device_id=device.id, type="attendance.punch")
    assert [int(row["user_id"]) for row in found] == list(range(1_500))[::-1]


# The stream


@contextmanager
def streaming(relay: Relay, after: str | None = None, **query: str) -> Iterator[list[dict[str, Any]]]:
    """A list that fills with the events of a stream."""
    headers = {"X-API-Key": API_KEY, **({"Last-Event-ID": after} if after else {})}
    url = f"{relay.url}/v1/events/stream"
    with closing(requests.get(url, params=query, headers=headers, stream=True, timeout=30)) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        found: list[dict[str, Any]] = []
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines).startswith(b"retry:")

        def read() -> None:
            message: dict[str, str] = {}
            try:
                for line in lines:
                    name, _, value = line.decode().partition(": ")
                    message[name] = value
                    if not line and "data" in message:
                        event = json.loads(message["data"])
                        assert (message["id"], message["event"]) == (event["id"], event["type"])
                        found.append(event)
                        message = {}
            except requests.RequestException:
                if not ended.is_set():
                    raise

        ended = threading.Event()
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield found
        finally:
            ended.set()
            # Closing it would wait for the reader, and that for the next heartbeat.
            socket.socket(fileno=os.dup(answer.raw.fileno())).shutdown(socket.SHUT_RDWR)
            reader.join(5)


class LaxReader:
    """Reads server-sent events as httpx-sse does: a blank line ends an event once any field was seen, data or not."""

    def __init__(self) -> None:
        self.messages: list[dict[str, str]] = []
        self._fields: dict[str, str] = {}
        self._last_id = ""

    def read(self, line: str) -> None:
        if line.startswith(":"):
            return
        name, _, value = line.partition(": ")
        if name == "id":
            self._last_id = value
        if line:
            self._fields[name] = value
        elif self._fields or self._last_id:
            self.messages.append(self._fields)
            self._fields = {}


def test_a_lax_reader_gets_no_message_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from what begins the stream, nor from what keeps it open."""
    monkeypatch.setattr(events_api, "_HEARTBEAT_SECONDS", 0.0)
    sample_event = made_up("attendance.punch")

    class Feed:
        def listen(self, _after: object, _check: object) -> Iterator[dict[str, Any] | None]:
            yield from (None, sample_event, None, None, sample_event, None)

    parts = events_api._stream(cast(Any, Feed()), Query(), {}, lambda: True)
    text = b"".join(parts).decode()
    assert text.startswith("retry: 2000\n") and text.count(": still here\n") == 4
    reader = LaxReader()
    for line in text.splitlines():
        reader.read(line)
    assert [json.loads(message["data"])["id"] for message in reader.messages] == [sample_event["id"]] * 2


def test_the_stream_brings_events_as_they_come(relay: Relay, device: Device) -> None:
    with streaming(relay, device_id=device.id, type="attendance.*") as found:
        for turn in range(3):
            device.send_done(device.punch(user=str(turn)))
            device.send_done(device.envelope(UserDeleted={"UserID": "9"}))
            wait_for(lambda wanted=turn: len(found) > wanted, 5)
        assert found == events(device, type="attendance.punch")


def _damage(relay: Relay, device: Device, user: str) -> list[str]:
    """Stores two punches of a person that can't be read; their ids."""
    connection = Store(load(relay.environment)).connection
    shard, client = connection.shards[0], connection.redis
    found = []
    for body in (b"neither JSON nor deflated", b'{"type":"attendance.punch","device_id":"X","user_id":"7"}'):
        entry = client.xadd(shard.events, {"b": body, "r": b"neither"})
        for index in (
            shard.by_type("attendance.punch"),
            shard.by_type("command.completed"),
            shard.by_user(user),
            shard.by_device(device.id),
        ):
            client.xadd(index, {"": ""}, id=entry)
        found.append(event_id(0, entry.decode()))
    return found


def test_an_event_that_cannot_be_read_ends_nothing(tmp_path: Path, receiver: Receiver) -> None:
    """No stream, list, delivery, replay, attendance, export or erasure; and it is counted and named."""
    relay = Relay(tmp_path, WEB_CONCURRENCY="1").start("store", "web", "worker")
    try:
        device = relay.device()
        subscription = relay.subscribe(receiver, device)
        with streaming(relay, type="attendance.punch") as found:
            device.send_done(device.punch())
            wait_for(lambda: len(found) == 1)
            damaged = _damage(relay, device, "2")
            device.send_done(device.punch())
            wait_for(lambda: len(found) == 2)
        assert ids(found) == ids(relay.events(type="attendance.punch"))
        assert ids(relay.events(user_id="2")) == ids(found)
        assert relay.call("GET", f"/v1/events/{damaged[0]}").status_code == 404
        receiver.wait(2)
        _is_counted_but_stops_nothing(relay, subscription, found, damaged)
        receiver.wait(4)  # replayed
        exported = json.loads(cli(relay, "export", "--user", "2"))
        assert {event["id"] for event in exported["events"]} == set(ids(found))
        assert exported["unreadable_events"] == damaged
        left = cli(relay, "forget", "--user", "2", "--device", device.id, "--yes")
        assert "2 events that can't be read, not erased" in left
        assert "2 events that could not be read" in cli(relay, "forget", "--user", "2", "--yes")
        assert json.loads(cli(relay, "export", "--user", "2"))["unreadable_events"] == []
        device.send_done(device.punch("3"))
        wait_for(lambda: "3" in {got.json["user_id"] for got in receiver.received})
    finally:
        relay.stop()


def _is_counted_but_stops_nothing(
    relay: Relay, subscription: dict[str, Any], found: list[dict[str, Any]], damaged: list[str]
) -> None:
    day = found[-1]["local_date"]
    (row,) = relay.get("/v1/attendance", params={"date": day, "user_id": "2"})["data"]
    assert row["punch_count"] == sum(one["local_date"] == day for one in found)
    path = f"/v1/subscriptions/{subscription['id']}/replay"
    assert relay.call("POST", path, json={"since": "2026-01-01T00:00:00Z"}).status_code == 202
    for name in damaged:
        assert relay.logs().count(f"event {name} can't be read") == 1
    assert "cams_relay_events_unreadable 2.0" in relay.call("GET", "/metrics").text
    assert "Stored events that can't be read: 2" in " ".join(relay.get("/health")["warnings"])
    assert damaged[1] in cli(relay, "doctor")


def test_the_stream_goes_on_after_the_last_event_id(relay: Relay, device: Device) -> None:
    for _ in range(5):
        device.send_done(device.punch())
    expected = events(device)
    with streaming(relay, after=expected[1]["id"], device_id=device.id) as found:
        wait_for(lambda: len(found) >= 3, 5)
        device.send_done(device.punch())
        wait_for(lambda: len(found) >= 4, 5)
        assert ids(found) == ids(events(device))[2:]


@pytest.mark.parametrize("last", ["0123abcd", "evt_0000000000000000"])
def test_a_wrong_last_event_id_is_422(relay: Relay, last: str) -> None:
    answer = relay.call("GET", "/v1/events/stream", headers={"Last-Event-ID": last})
    problem(answer, 422, "Last-Event-ID")


def test_many_streams_take_nothing_from_callbacks(relay: Relay, device: Device) -> None:
    """More than a process has connections to the store (RELAY_REDIS_CONNECTIONS)."""
    url, headers = f"{relay.url}/v1/events/stream", {"X-API-Key": API_KEY}
    with ExitStack() as stack:
        for _ in range(90):
            opened = requests.get(url, headers=headers, stream=True, timeout=30)
            stack.callback(opened.close)
            stack.callback(
                lambda raw=opened.raw: socket.socket(fileno=os.dup(raw.fileno())).shutdown(socket.SHUT_RDWR)
            )
        for turn in range(5):
            device.send_done(device.punch(user=str(turn)))
        assert len(events(device)) == 5, "none of them had to be spooled"
        assert relay.get("/health")["store"] == "ok"


@pytest.mark.parametrize("busy", [False, True])
def test_a_stream_ends_soon_after_its_key(relay: Relay, device: Device, busy: bool) -> None:
    made = relay.call("POST", "/v1/api-keys", json={"name": "tv", "scopes": ["events:read"]}).json()
    url, headers = f"{relay.url}/v1/events/stream", {"X-API-Key": made["key"]}
    with closing(requests.get(url, headers=headers, stream=True, timeout=30)) as answer:
        assert answer.status_code == 200
        assert relay.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
        stream_ends(answer, lambda: device.send_done(device.punch()) if busy else None)
