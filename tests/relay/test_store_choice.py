"""The embedded store keeps its data over restarts, and has its own socket and a password. Contract §1."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.settings.table import load
from app.store.server import embedded
from app.store.server.connection import make_client
from tests.harness import Receiver, Relay, free_port, wait_for
from tests.relay.tools import KEY, done, events, only, problem, sealed


def test_a_restart_of_the_whole_relay_keeps_everything(tmp_path: Path, receiver: Receiver) -> None:
    relay = Relay(tmp_path).start()
    try:
        device = relay.device(label="Gate")
        subscription = relay.subscribe(receiver, device)
        punch = device.punch()
        device.send_done(punch)
        for number in (3, 6, 10):
            device.send_done(device.sample(number))
        device.send_done(device.envelope(New={}))
        before = events(device)
        receiver.wait(len(before))
        shown = relay.get(f"/v1/devices/{device.id}")
        users = relay.get("/v1/users")
        for name in ("worker", "web", "store"):
            relay.kill(name, signal.SIGKILL)
        relay.start()
        assert [event["id"] for event in events(device)] == [event["id"] for event in before]
        assert relay.get(f"/v1/devices/{device.id}") == shown
        assert relay.get("/v1/users") == users
        photo = events(device, type="attendance.photo")[0]["photo_url"]
        assert requests.get(photo, timeout=5).content.startswith(b"\xff\xd8\xff")
        device.send_done(punch)
        device.send_done(device.sample(3))
        assert len(events(device)) == len(before), "the punch must be a duplicate after a restart"
        device.send_done(device.punch())
        receiver.wait(len(before) + 1)
        assert relay.get(f"/v1/subscriptions/{subscription['id']}")["status"] == "active"
    finally:
        relay.stop()


def test_the_embedded_store_only_has_a_private_socket_and_requires_a_password(tmp_path: Path) -> None:
    relay = Relay(tmp_path).start("store")
    try:
        settings = load(relay.environment)
        path = embedded.socket_path(settings.data_dir)
        password = embedded.password(settings.data_dir)
        client = make_client(settings)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        wait_for(answers)
        assert path.stat().st_mode & 0o077 == 0
        assert len(password) >= 32
        once = Retry(NoBackoff(), 0)
        for password in (None, "wrong", ""):
            with pytest.raises(redis.RedisError, match=r"NOAUTH|WRONGPASS|authenticate|invalid"):
                redis.Redis(unix_socket_path=str(path), password=password, retry=once).ping()
        assert client.config_get("port")["port"] == "0"
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", relay.port)) != 0
    finally:
        relay.stop()


def test_callbacks_acknowledged_while_the_store_was_away_are_stored_when_it_is_back(tmp_path: Path) -> None:
    relay = Relay(tmp_path, WEB_CONCURRENCY="1").start("store", "web")
    try:
        device = relay.device()
        device.send_done(device.punch(user="first"))
        relay.kill("store")
        answer = relay.call("GET", "/health")
        assert (answer.status_code, answer.json()["store"]) == (200, "away")
        problem(relay.call("GET", "/v1/events"), 503)
        done(device.send(f"request_data={quote(json.dumps(device.punch()))}".encode()))
        done(device.send(b'{"RealTime": {"AuthToken": "%s", "New": {}}}' % device.token.encode()))
        device.send_done(device.punch(user="second"))
        wrong = device.punch()
        wrong["RealTime"]["AuthToken"] = "0" * 32
        assert device.send(wrong).status_code in (401, 503)
        relay.start("store")
        wait_for(lambda: relay.get("/health")["spooled_bytes"] == 0 and relay.get("/health")["store"] == "ok")
        found = [(event["type"], event.get("user_id")) for event in events(device)]
        assert found == [
            ("attendance.punch", "first"),
            ("callback.unrecognised", None),
            ("callback.unrecognised", None),
            ("attendance.punch", "second"),
        ]
        device.send_done(device.punch(user="third"))
        wait_for(lambda: [event.get("user_id") for event in events(device)][4:] == ["third"])
    finally:
        relay.stop()


def test_a_callback_without_spool_and_store_is_503(tmp_path: Path) -> None:
    public = "https://relay.example.com/cams/"
    relay = Relay(
        tmp_path, WEB_CONCURRENCY="1", RELAY_SPOOL="off", RELAY_METRICS_OPEN="1", RELAY_PUBLIC_URL=public
    ).start("store", "web")
    try:
        device = relay.device()
        assert relay.get(f"/v1/devices/{device.id}")["callback_url"] == f"{public}callback/{device.id}"
        hook = {"target_url": "https://example.com/", "events": ["*"]}
        location = relay.call("POST", "/v1/subscriptions", json=hook).headers["Location"]
        assert location.startswith(f"{public}v1/subscriptions/sub_")
        device.send_done(device.sample(10))
        link = only(device, "attendance.photo")["photo_url"]
        assert link.startswith(f"{public}photos/")
        assert requests.get(relay.url + link.removeprefix(public[:-1]), timeout=5).ok
        assert relay.call("GET", "/metrics", key=None).status_code == 200
        device.send_done(device.punch())
        relay.kill("store")
        problem(device.send(device.punch()), 503)
        health = relay.call("GET", "/health")
        assert (health.status_code, health.json()["status"]) == (503, "unavailable")
    finally:
        relay.stop()


def test_a_callback_is_503_if_the_store_was_never_reachable(tmp_path: Path) -> None:
    relay = Relay(
        tmp_path,
        REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
        RELAY_SECRET_KEY="made-up-secret-key-for-tests-only-0123456789",
    )
    relay._start("web")
    try:

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", relay.port)) == 0

        wait_for(listens, 20)
        body = b'{"RealTime": {"AuthToken": "x"}}'
        problem(requests.post(f"{relay.url}/callback", data=body, timeout=9), 503)
        problem(requests.post(f"{relay.url}/callback", data=b"nonsense", timeout=9), 400)
    finally:
        relay.stop()


def test_everything_is_the_same_with_several_shards(tmp_path: Path, receiver: Receiver) -> None:
    relay = Relay(tmp_path, RELAY_SHARDS="5").start()
    try:
        devices = [relay.device(security_key=KEY if n % 2 else None) for n in range(12)]
        relay.subscribe(receiver)
        sent = []
        for turn in range(40):
            device = devices[turn * 5 % 12]
            document = device.punch(user=str(turn))
            done(device.send(sealed(document) if device.security_key else document))
            sent.append(str(turn))
        found = relay.events()
        ids = [event["id"] for event in found]
        assert len({event_id[-2:] for event_id in ids}) > 2, "no more than two shards were used"
        assert sorted(event["user_id"] for event in found) == sorted(sent)
        assert ids == sorted(ids)
        paged: list[str] = []
        cursor = None
        while True:
            page = relay.get("/v1/events", params={"limit": 3, "cursor": cursor})
            paged += [event["id"] for event in page["data"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert paged == ids[::-1]
        for event in found:
            assert relay.get(f"/v1/events/{event['id']}") == event
        for device in devices:
            assert {event["device_id"] for event in events(device)} == {device.id}
        wait_for(lambda: {event["id"] for event in receiver.events()} == set(ids))
        rows = relay.call("GET", "/v1/events.csv").text.splitlines()
        assert len(rows) == 41
        for device in devices:
            assert relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204
        assert [event["id"] for event in relay.events()] == ids
        assert [event["id"] for event in events(devices[0])] == [
            event["id"] for event in found if event["device_id"] == devices[0].id
        ]
    finally:
        relay.stop()
