"""Requests have IDs in their responses and log lines. Lines about callbacks and deliveries contain event IDs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness import Receiver, Relay, wait_for


def lines(relay: Relay) -> list[dict[str, Any]]:
    """The log's lines of JSON, without Python's own warnings at the start."""
    return [json.loads(line) for line in relay.logs().splitlines() if line.startswith("{")]


def test_a_response_has_the_id_of_its_request(relay: Relay) -> None:
    own = relay.call("GET", "/v1/me").headers["x-request-id"]
    assert own.startswith("req_") and own != relay.call("GET", "/v1/me").headers["x-request-id"]
    taken = relay.call("GET", "/v1/me", headers={"X-Request-Id": "made-up.id_0001"})
    assert taken.headers["x-request-id"] == "made-up.id_0001"
    for invalid_id in ("short", "x" * 65, "with blank in it", '"quoted-id"'):
        answer = requests.get(f"{relay.url}/v1/me", headers={"X-Request-Id": invalid_id}, timeout=10)
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


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay with one web process that logs everything in JSON."""
    more = {"RELAY_LOG_FORMAT": "json", "RELAY_LOG_LEVEL": "debug", "WEB_CONCURRENCY": "1"}
    relay = Relay(tmp_path_factory.mktemp("telling"), **more).start("store", "web")
    yield relay
    relay.stop()


@pytest.mark.parametrize("past_wsgi", [True, False])
def test_a_callbacks_event_is_found_by_the_id_of_its_request(telling: Relay, past_wsgi: bool) -> None:
    """Flask's view only handles callbacks without a Content-Length. The others are handled before it."""
    device = telling.device()

    def send(document: object, named: str) -> requests.Response:
        body = json.dumps(document).encode()
        data: Any = body if past_wsgi else iter((body[:10], body[10:]))
        headers = {"X-Request-Id": named}
        return telling.session.post(f"{telling.url}/callback", data=data, headers=headers, timeout=10)

    named, punch = f"made-up.callback_{past_wsgi}", device.punch()
    answer = send(punch, named)
    assert (answer.status_code, answer.content) == (200, b'{"status":"done"}')
    assert answer.headers["x-request-id"] == named
    (event,) = telling.events(device_id=device.id)
    (line,) = wait_for(lambda: [one for one in lines(telling) if one.get("event_id") == event["id"]])
    assert (line["request_id"], line["level"], line["logger"]) == (named, "debug", "relay.callback")
    assert device.id in line["message"] and event["id"] in line["message"]
    # First a duplicate, then a refused callback.
    assert send(punch, f"{named}.2").headers["x-request-id"] == f"{named}.2"
    again = wait_for(lambda: [one for one in lines(telling) if one.get("request_id") == f"{named}.2"])
    assert "duplicates" in again[0]["message"]
    refused = send({}, f"{named}.3")
    assert refused.status_code in (400, 401) and refused.headers["x-request-id"] == f"{named}.3"
    wait_for(
        lambda: any(
            "refused" in one["message"] for one in lines(telling) if one.get("request_id") == f"{named}.3"
        )
    )
    # A request doesn't reuse the ID of the one before it, and invalid IDs are ignored.
    for invalid_id in ("short", "x" * 65, 'with"quote', "with blank in it"):
        shown = send(device.punch(), invalid_id).headers.get("x-request-id")
        assert shown is None if past_wsgi else str(shown).startswith("req_")
    shown = telling.session.post(f"{telling.url}/callback", json=device.punch(), timeout=10).headers
    assert "x-request-id" not in shown


def test_rq_logs_once_a_minute_that_the_store_is_away(tmp_path: Path) -> None:
    with Relay(tmp_path, WEB_CONCURRENCY="1") as relay:
        relay.terminate("store")
        # The first if RQ was already working, else the second.
        messages = ("could not connect to Redis", "RQ is waiting for the store")
        wait_for(lambda: any(text in relay.logs() for text in messages), 30)
        time.sleep(3)
        assert all(relay.logs().count(text) <= 1 for text in messages)


def test_web_logs_that_callbacks_go_to_disk_and_that_the_store_is_back(tmp_path: Path) -> None:
    with Relay(tmp_path, WEB_CONCURRENCY="1") as relay:
        assert "redis.credentials" not in relay.logs(), "redis-py must not warn about our store's password"
        device = relay.device()
        # Makes the device known first, as a process that knows no devices stores no callbacks on disk.
        device.send_done(device.punch())
        relay.terminate("store")
        away = "callbacks are kept on disk until it is back"
        wait_for(lambda: away in relay.logs(), 20)
        time.sleep(3)
        assert relay.logs().count(away) == 1
        relay.start("store")
        wait_for(lambda: "relay.callback the store is back after" in relay.logs(), 20)


def test_a_host_that_is_not_found_logs_no_traceback(telling: Relay) -> None:
    body = {"target_url": "http://nowhere.invalid/", "events": ["*"]}
    assert telling.call("POST", "/v1/subscriptions", json=body).status_code == 201
    assert "Traceback" not in telling.logs()
