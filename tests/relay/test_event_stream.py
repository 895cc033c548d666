"""The stream of events. Contract §5."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from app.api import events as events_api
from app.base.ids import event_id
from app.events.samples import sample as made_up
from app.settings.table import load
from app.store import Store
from app.store.events.query import Query
from tests.command_line import cli
from tests.harness import API_KEY, Device, Receiver, Relay, wait_for
from tests.relay.tools import events, ids, problem, stream_ends


@contextmanager
def streaming(relay: Relay, after: str | None = None, **query: str) -> Iterator[list[dict[str, Any]]]:
    """Yield a list that fills with the events of a stream."""
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
            # Closing the response would wait for the reader, which waits for the next heartbeat.
            socket.socket(fileno=os.dup(answer.raw.fileno())).shutdown(socket.SHUT_RDWR)
            reader.join(5)


class LaxReader:
    """Reads server-sent events as httpx-sse does: a blank line ends an event after any field, with or without data."""

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


def test_a_lenient_client_gets_no_message_without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the beginning of the stream nor its heartbeats create a message."""
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


def test_the_stream_sends_events_as_they_arrive(relay: Relay, device: Device) -> None:
    with streaming(relay, device_id=device.id, type="attendance.*") as found:
        for turn in range(3):
            device.send_done(device.punch(user=str(turn)))
            device.send_done(device.envelope(UserDeleted={"UserID": "9"}))
            wait_for(lambda wanted=turn: len(found) > wanted, 5)
        assert found == events(device, type="attendance.punch")


def _damage(relay: Relay, device: Device, user: str) -> list[str]:
    """Store two unreadable punches of a person. Return their IDs."""
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


def test_an_unreadable_event_does_not_end_the_stream(tmp_path: Path, receiver: Receiver) -> None:
    """Nor does it end a list, delivery, replay, attendance, export or erasure. It is counted, and its ID is shown."""
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
        wait_for(lambda: "3" in {got.json.get("user_id") for got in receiver.received})
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


def test_the_stream_continues_after_the_last_event_id(relay: Relay, device: Device) -> None:
    for _ in range(5):
        device.send_done(device.punch())
    expected = events(device)
    with streaming(relay, after=expected[1]["id"], device_id=device.id) as found:
        wait_for(lambda: len(found) >= 3, 5)
        device.send_done(device.punch())
        wait_for(lambda: len(found) >= 4, 5)
        assert ids(found) == ids(events(device))[2:]


@pytest.mark.parametrize("last", ["0123abcd", "evt_0000000000000000"])
def test_an_invalid_last_event_id_is_422(relay: Relay, last: str) -> None:
    answer = relay.call("GET", "/v1/events/stream", headers={"Last-Event-ID": last})
    problem(answer, 422, "Last-Event-ID")


def test_many_streams_do_not_delay_callbacks(relay: Relay, device: Device) -> None:
    """There are more streams than a process has connections to the store (RELAY_REDIS_CONNECTIONS)."""
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
        assert len(events(device)) == 5, "a callback was spooled"
        assert relay.get("/health")["store"] == "ok"


@pytest.mark.parametrize("busy", [False, True])
def test_a_stream_ends_soon_after_its_key_is_deleted(relay: Relay, device: Device, busy: bool) -> None:
    made = relay.call("POST", "/v1/api-keys", json={"name": "tv", "scopes": ["events:read"]}).json()
    url, headers = f"{relay.url}/v1/events/stream", {"X-API-Key": made["key"]}
    with closing(requests.get(url, headers=headers, stream=True, timeout=30)) as answer:
        assert answer.status_code == 200
        assert relay.call("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
        stream_ends(answer, lambda: device.send_done(device.punch()) if busy else None)
