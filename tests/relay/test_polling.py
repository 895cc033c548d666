"""A client that polls `GET /v1/events?order=asc&after=` gets every event once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.settings.table import load
from app.store import Store
from tests.harness import Device, Relay
from tests.relay.tools import events, ids


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay whose devices are in several shards. Nothing is delivered, so it needs no worker."""
    relay = Relay(tmp_path_factory.mktemp("polling"), RELAY_SHARDS="8")
    relay.start("store", "web")
    relay.wait_healthy()
    yield relay
    relay.stop()


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_a_poller_gets_every_event_once_while_events_arrive_in_all_shards(sharded: Relay, limit: int) -> None:
    devices = [sharded.device() for _ in range(8)]
    start = sharded.get("/v1/events", params={"limit": 1})["data"]
    sent, done = 15, threading.Event()

    def send(device: Device) -> None:
        for user in range(sent):
            device.send_done(device.punch(user=str(user)))

    def send_all() -> None:
        with ThreadPoolExecutor(len(devices)) as pool:
            list(pool.map(send, devices))
        done.set()

    sender = threading.Thread(target=send_all)
    sender.start()
    found: list[str] = []
    last = start[0]["id"] if start else None
    while True:
        ended = done.is_set()
        query = {"order": "asc", "limit": limit, "after": last, "type": "attendance.punch"}
        page: dict[str, Any] = {"next_cursor": None}
        while True:
            page = sharded.get("/v1/events", params={**query, "cursor": page["next_cursor"]})
            found += ids(page["data"])
            if page["next_cursor"] is None:
                break
        last = found[-1] if found else last
        if ended:
            break
    sender.join()
    expected = [event["id"] for device in devices for event in events(device)]
    assert len(expected) == sent * len(devices) and found == sorted(expected)


def test_after_need_not_be_the_id_of_a_stored_event(sharded: Relay) -> None:
    device = sharded.device()
    for user in ("1", "2", "3"):
        device.send_done(device.punch(user=user))
    found = events(device)
    Store(load(sharded.environment)).person_erasure.forget("2", device.id)
    query = {"order": "asc", "device_id": device.id}
    for number in (0, 1):
        page = sharded.get("/v1/events", params={**query, "after": found[number]["id"]})
        assert ids(page["data"]) == [found[2]["id"]]
