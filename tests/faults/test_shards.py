"""RELAY_SHARDS=4: devices are on several shards, but callers see one relay."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import requests

from tests.delivery.tools import act, punch, rows, shown
from tests.faults.load import Load, all_came_once
from tests.harness import API_KEY, Receiver, Relay, verify, wait_for


def test_several_shards_look_like_one_relay(start: Callable[..., Relay], receiver: Receiver) -> None:
    relay = start(RELAY_SHARDS="4", RELAY_RETRY_SCHEDULE="1")
    devices = [relay.device(device_id=f"SHARDED{number}") for number in range(12)]
    subscription = relay.subscribe(receiver, *devices)
    heard: list[str] = []

    def listen() -> None:
        with requests.get(
            f"{relay.url}/v1/events/stream", headers={"X-API-Key": API_KEY}, stream=True, timeout=60
        ) as stream:
            for line in stream.iter_lines():
                if line.startswith(b"data:"):
                    heard.append(json.loads(line[5:])["id"])
                if len(heard) == 60:
                    return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    wait_for(lambda: listener.is_alive())
    load = Load(devices, 240)
    load.finish()
    all_came_once(load, receiver, "no fault, on four shards")
    for got in receiver.received:
        verify(subscription["secret"], got)
    events = relay.events()
    assert {event["id"] for event in events} == {event["id"] for event in receiver.events()}
    names = [event["id"] for event in events]
    assert names == sorted(names), "in order of receipt over all shards"
    assert len({event["id"][-2:] for event in events}) == 4, "on all four shards"
    wait_for(lambda: len(heard) >= 30)
    assert set(heard) <= {event["id"] for event in events}
    wait_for(lambda: shown(relay, subscription)["delivered"] == 240)

    receiver.answer = lambda _: (500, {}, b"")
    for device in devices:
        punch(device, 1, "late")
    wait_for(lambda: shown(relay, subscription)["dead"] == 12, 20)
    dead = rows(relay, subscription, status="dead")
    assert len({row["event_id"] for row in dead}) == 12
    receiver.answer = lambda _: (200, {}, b"")
    count = len(receiver.received)
    assert (
        act(relay, subscription, "replay", event_ids=[row["event_id"] for row in dead])["event_count"] == 12
    )
    receiver.wait(count + 12)
    act(relay, subscription, "replay", since=events[0]["received_at"])
    receiver.wait(count + 12 + 252, 20)

    relay.kill("worker")
    relay.start("worker")
    more = Load(devices, 100)
    more.finish()
    assert relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}").status_code == 204
