"""Requests have ids, which are in their answers and their log lines; deliveries have those of their events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

from tests.harness import Receiver, Relay, wait_for


def lines(relay: Relay) -> list[dict[str, Any]]:
    """The log; what Python itself warns of at the start is no JSON."""
    return [json.loads(line) for line in relay.logs().splitlines() if line.startswith("{")]


def test_an_answer_has_the_id_of_its_request(relay: Relay) -> None:
    own = relay.call("GET", "/v1/me").headers["x-request-id"]
    assert own.startswith("req_") and own != relay.call("GET", "/v1/me").headers["x-request-id"]
    taken = relay.call("GET", "/v1/me", headers={"X-Request-Id": "made-up.id_0001"})
    assert taken.headers["x-request-id"] == "made-up.id_0001"
    for odd in ("short", "x" * 65, "with blank in it", '"quoted-id"'):
        answer = requests.get(f"{relay.url}/v1/me", headers={"X-Request-Id": odd}, timeout=10)
        assert answer.headers["x-request-id"].startswith("req_")


def test_json_lines_have_ids(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _: (500, {}, b"")
    relay = Relay(tmp_path, RELAY_LOG_FORMAT="json", WEB_CONCURRENCY="1").start()
    try:
        device = relay.device()
        relay.subscribe(receiver, device)
        device.send_done(device.punch())
        event = relay.events(device_id=device.id)[0]["id"]
        wait_for(lambda: any(line.get("event_id") == event for line in lines(relay)))
        refused = device.send(b"{}")
        named = refused.headers["x-request-id"]
        wait_for(lambda: any(line.get("request_id") == named for line in lines(relay)))
        assert {"at", "level", "logger", "message"} <= lines(relay)[0].keys()
    finally:
        relay.stop()
