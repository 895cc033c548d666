"""Callbacks are sent in order, one at a time per device, until the response is `done`."""

import json
import time
from typing import Any

import pytest
from sim_tools import KEY, Caller, RecordingRelay, eventually, un_aes

from simulator.device import Device
from simulator.gateway import Gateway
from simulator.spec import DeviceSpec


def users_of(callbacks: list[Any]) -> list[str]:
    return [callback["RealTime"]["PunchLog"]["UserId"] for callback in callbacks]


def test_callbacks_are_posted_as_json_to_the_callback_url_with_stgid(
    device: Device, relay: RecordingRelay
) -> None:
    device.punch("1")
    relay.wait_for(1)
    received = relay.received[0]
    assert received.path == "/callback?stgid=D1"
    assert received.content_type == "application/json"


@pytest.mark.parametrize(
    ("times", "query"), [(0, "?a=b"), (1, "?a=b&stgid=D1"), (2, "?a=b&stgid=D1&stgid=D1")]
)
def test_stgid_is_appended_as_often_as_observed(
    times: int, query: str, make_device: Any, relay: RecordingRelay
) -> None:
    device: Device = make_device(callback_url=f"{relay.url}/cb/D1?a=b", stgid_in_url=times)
    device.punch("1")
    relay.wait_for(1)
    assert relay.received[0].path == f"/cb/D1{query}"


@pytest.mark.parametrize(
    "refusal",
    [
        (500, b'{"status":"done"}'),
        (401, b""),
        (200, b"OK"),
        (200, b'{"status":"ok"}'),
        (307, b""),
        (200, b"[]"),
    ],
)
def test_a_refused_callback_blocks_the_queue_and_is_sent_again(
    refusal: tuple[int, bytes], device: Device, relay: RecordingRelay
) -> None:
    relay.answers.extend([refusal, refusal])
    for user in ("1", "2", "3"):
        device.punch(user)
    assert users_of(relay.wait_for(5)) == ["1", "1", "1", "2", "3"]
    assert relay.received[0].body == relay.received[1].body == relay.received[2].body
    eventually(lambda: device.outbox.acknowledged == 3)
    assert (device.outbox.attempts, device.outbox.refused, len(device.outbox)) == (5, 2, 0)


def test_a_blocked_device_does_not_block_another(
    device: Device, make_device: Any, relay: RecordingRelay
) -> None:
    device.spec.callback_url = f"http://127.0.0.1:{free_port()}/callback"
    other: Device = make_device("D2")
    device.punch("1")
    other.punch("2")
    assert users_of(relay.wait_for(1)) == ["2"]
    assert len(device.outbox) == 1


def test_callbacks_wait_while_the_relay_is_away() -> None:
    port = free_port()
    gateway = Gateway(f"http://127.0.0.1:{port}")
    device = gateway.add_device(DeviceSpec("D1", retry_seconds=0.05, retry_max_seconds=0.1))
    for user in ("1", "2", "3"):
        device.punch(user)
    eventually(lambda: device.outbox.refused >= 2)
    relay = RecordingRelay(port)
    try:
        assert users_of(relay.wait_for(3)) == ["1", "2", "3"]
    finally:
        relay.stop()
        gateway.close()


def test_the_wait_between_attempts_grows_to_its_limit(make_device: Any, relay: RecordingRelay) -> None:
    device: Device = make_device(retry_seconds=0.1, retry_max_seconds=0.2)
    relay.answers.extend([(500, b"")] * 4)
    begin = time.monotonic()
    device.punch("1")
    relay.wait_for(5)
    assert 0.1 + 3 * 0.2 <= time.monotonic() - begin < 3


def test_a_new_callback_url_is_used_immediately(
    make_device: Any, relay: RecordingRelay, caller: Caller
) -> None:
    make_device(callback_url=f"http://127.0.0.1:{free_port()}/", retry_seconds=60)
    caller.control("POST", "/D1/punch", {"user_id": "1"}, expect=201)
    eventually(lambda: caller.control("GET", "/D1")["refused"] == 1)
    caller.control("PATCH", "/D1", {"callback_url": f"{relay.url}/new"}, expect=200)
    relay.wait_for(1)
    assert relay.received[0].path == "/new?stgid=D1"


def test_an_offline_device_keeps_its_punches_and_sends_them_in_order(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    caller.control("PATCH", "/D1", {"online": False}, expect=200)
    for user in ("1", "2", "3"):
        device.punch(user)
    assert caller.control("GET", "/D1")["kept_on_device"] == 3
    assert relay.received == []
    caller.control("PATCH", "/D1", {"online": True}, expect=200)
    assert users_of(relay.wait_for(3)) == ["1", "2", "3"]


def test_duplicates_are_identical(device: Device, relay: RecordingRelay, caller: Caller) -> None:
    device.punch("1")
    device.punch("2")
    assert device.outbox.wait_empty(5)
    assert caller.control("POST", "/D1/resend", {"last": 2}, expect=201)["count"] == 2
    relay.wait_for(4)
    bodies = [received.body for received in relay.received]
    assert bodies[2:] == bodies[:2]


def test_a_person_never_punches_twice_in_a_second(device: Device, relay: RecordingRelay) -> None:
    for _ in range(5):
        device.punch("1")
    times = {callback["RealTime"]["PunchLog"]["LogTime"] for callback in relay.wait_for(5)}
    assert len(times) == 5


def test_callbacks_are_encrypted_with_the_current_key(
    make_device: Any, relay: RecordingRelay, caller: Caller
) -> None:
    device: Device = make_device(security_key=KEY)
    device.punch("1")
    assert device.outbox.wait_empty(5)
    caller.control("PATCH", "/D1", {"security_key": None}, expect=200)
    device.punch("2")
    assert device.outbox.wait_empty(5)
    encrypted, plain = relay.received
    assert encrypted.content_type == "application/json"
    assert users_of([json.loads(un_aes(encrypted.body)), plain.json]) == ["1", "2"]


def test_a_flood_sends_the_given_number_of_punches_at_the_given_rate(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    begin = time.monotonic()
    caller.control("POST", "/D1/flood", {"rate": 100, "seconds": 0.5}, expect=201)
    logs = [callback["RealTime"]["PunchLog"] for callback in relay.wait_for(50)]
    assert time.monotonic() - begin >= 0.45
    assert len({(log["UserId"], log["LogTime"]) for log in logs}) == 50


def test_a_flood_without_a_rate_is_as_fast_as_possible(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    caller.control("POST", "/D1/flood", {"count": 200}, expect=201)
    logs = [callback["RealTime"]["PunchLog"] for callback in relay.wait_for(200, timeout=10)]
    assert len({(log["UserId"], log["LogTime"]) for log in logs}) == 200


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
