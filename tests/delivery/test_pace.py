"""The speed and order of deliveries, and isolation between targets, measured in counts. Contract §4."""

from __future__ import annotations

import asyncio
import threading
import time
from bisect import bisect_left, insort
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.delivery.tools import (
    Answer,
    act,
    change,
    client,
    ids_of,
    misbehaving,
    plan,
    punch,
    rows,
    scheduled_jobs,
    shown,
)
from tests.harness import Device, Received, Receiver, Relay, wait_for
from tests.http.raw_servers import Connection
from tests.processes import child, resident

SINK = 0.03


class Busy:
    """Answers slowly, and records how many requests it has at the same time."""

    def __init__(self, seconds: float, status: int = 200) -> None:
        self.seconds, self.status = seconds, status
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, _: Received) -> Answer:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        return self.status, {}, b""


def stored(device: Device) -> list[str]:
    """Return the IDs of a device's events, in order of receipt."""
    return [event["id"] for event in device.relay.events(device_id=device.id)]


def out_of_order(names: list[str], expected: list[str], under_way: int) -> int:
    """Return how many events overtook more others than can have been in flight at the same time."""
    places = {name: place for place, name in enumerate(expected)}
    still_to_come: list[int] = []
    count = 0
    for name in reversed(names):
        place = places[name]
        count += bisect_left(still_to_come, place) >= under_way
        insort(still_to_come, place)
    return count


@contextmanager
def receivers(count: int) -> Iterator[list[Receiver]]:
    made = [Receiver() for _ in range(count)]
    try:
        yield made
    finally:
        for receiver in made:
            receiver.close()


def test_with_max_in_flight_1_each_delivery_waits_for_the_previous_one(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    busy = Busy(0.01)
    failed = set()

    def answer(got: Received) -> Answer:
        """Fail every fifth event at first."""
        busy(got)
        name = got.headers["webhook-id"]
        if len({other.headers["webhook-id"] for other in receiver.received}) % 5 == 0 and name not in failed:
            failed.add(name)
            return 500, {}, b""
        return 200, {}, b""

    receiver.answer = answer
    relay.subscribe(receiver, device, max_in_flight=1)
    punch(device, 12)
    receiver.wait(14, 20)
    assert busy.most == 1
    delivered = list(dict.fromkeys(ids_of(receiver)))
    assert delivered == stored(device)
    tries = ids_of(receiver)
    assert len(tries) == 14
    for name in failed:
        first = tries.index(name)
        assert tries[first + 1] == name, "nothing passes what has failed"


def test_a_replay_keeps_strict_order_after_a_failure(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device, max_in_flight=1)
    punch(device, 5)
    receiver.wait(5)
    expected = stored(device)
    receiver.answer = plan(200, 500)
    act(relay, subscription, "replay", event_ids=expected)
    receiver.wait(11)
    assert ids_of(receiver)[5:] == [*expected[:2], expected[1], *expected[2:]]


def test_after_a_dead_letter_the_next_delivery_is_sent(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = plan(*[500] * 4)
    subscription = relay.subscribe(receiver, device, max_in_flight=1)
    punch(device, 3)
    receiver.wait(6, 20)
    assert list(dict.fromkeys(ids_of(receiver))) == stored(device)
    wait_for(lambda: len(rows(relay, subscription, status="delivered")) == 2)
    assert len(rows(relay, subscription, status="dead")) == 1


@pytest.mark.parametrize("most", [1, 3, 16])
def test_at_most_max_in_flight_deliveries_run_and_start_in_order(
    relay: Relay, device: Device, receiver: Receiver, most: int
) -> None:
    busy = receiver.answer = Busy(SINK)
    relay.subscribe(receiver, device, max_in_flight=most)
    punch(device, 90)
    receiver.wait(90, 20)
    assert busy.most <= most
    assert most == 1 or busy.most > 1
    names, expected = ids_of(receiver), stored(device)
    assert sorted(names) == expected
    assert out_of_order(names, expected, most) == 0


def test_a_change_of_max_in_flight_takes_effect(relay: Relay, device: Device, receiver: Receiver) -> None:
    busy = receiver.answer = Busy(SINK)
    subscription = relay.subscribe(receiver, device)
    assert change(relay, subscription, max_in_flight=2)["max_in_flight"] == 2
    punch(device, 60)
    receiver.wait(60, 20)
    assert busy.most <= 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_concurrency_falls_for_an_overloaded_target_and_rises_again(
    slow_retries: Relay, receiver: Receiver, status: int
) -> None:
    device = slow_retries.device()
    receiver.answer = Busy(0.05)
    subscription = slow_retries.subscribe(receiver, device, max_in_flight=16)
    receiver.answer = plan(*[status] * 6)  # fewer than make it count as down
    punch(device, 10)
    receiver.wait(10)
    slow = receiver.answer = Busy(0.1)
    punch(device, 10)
    wait_for(lambda: shown(slow_retries, subscription)["pending"] == 0, 20)
    fallen = slow.most
    assert 1 <= fallen <= 8
    wait_for(lambda: shown(slow_retries, subscription)["retrying"] == 0, 20)
    punch(device, 150)
    wait_for(lambda: len(set(ids_of(receiver))) == 170, 30)
    recovered = receiver.answer = Busy(0.1)
    punch(device, 120)
    wait_for(lambda: len(set(ids_of(receiver))) == 290, 30)
    assert recovered.most > fallen


async def _hang(connection: Connection) -> None:
    await connection.request()
    await asyncio.sleep(120)


def test_slow_and_failing_targets_do_not_delay_others(one_retry: Relay) -> None:
    device = one_retry.device()
    with receivers(20) as healthy, misbehaving(_hang) as hanging:
        for number in range(20):
            dead = f"{hanging}?{number}" if number % 2 else f"http://127.0.0.1:9/{number}"
            body = {
                "target_url": dead,
                "events": ["*"],
                "filters": {"device_ids": [device.id]},
                "max_in_flight": 100,
            }
            assert one_retry.call("POST", "/v1/subscriptions", json=body).status_code == 201
            one_retry.subscribe(healthy[number], device)
        began = time.monotonic()
        punch(device, 30)
        for receiver in healthy:
            wait_for(lambda receiver=receiver: len(set(ids_of(receiver))) == 30, 30)
        assert time.monotonic() - began < 15
        expected = stored(device)
        assert all(sorted(set(ids_of(receiver))) == expected for receiver in healthy)
        for subscription in one_retry.get("/v1/subscriptions?limit=200")["data"]:
            if subscription["filters"]["device_ids"] == [device.id]:
                one_retry.call("DELETE", f"/v1/subscriptions/{subscription['id']}")


def test_a_new_subscription_receives_all_callbacks_acknowledged_after_its_creation(relay: Relay) -> None:
    devices = [relay.device() for _ in range(4)]
    stop = threading.Event()
    acknowledged: list[tuple[float, str]] = []

    def flow(device: Device) -> None:
        for number in range(400):
            if stop.is_set():
                return
            sent = time.monotonic()
            device.send_done(device.punch(f"{device.id}-{number}"))
            acknowledged.append((sent, f"{device.id}-{number}"))

    def more_than(count: int) -> None:
        wait_for(lambda: len(acknowledged) > count)

    with ThreadPoolExecutor(4) as pool, receivers(4) as made:
        running = [pool.submit(flow, device) for device in devices]
        since = []
        for receiver in made:
            more_than(len(acknowledged) + 30)
            relay.subscribe(receiver, *devices)
            since.append(time.monotonic())
        more_than(len(acknowledged) + 50)
        stop.set()
        for future in running:
            future.result()
        for receiver, moment in zip(made, since, strict=True):
            expected = {user for sent, user in acknowledged if sent > moment}
            assert len(expected) >= 30
            wait_for(
                lambda receiver=receiver, expected=expected: (
                    expected <= {event["user_id"] for event in receiver.events()}
                )
            )
            assert len(ids_of(receiver)) == len(set(ids_of(receiver)))


def test_an_event_from_before_the_subscription_is_not_delivered(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    punch(device, 20)
    relay.subscribe(receiver, device)
    punch(device, 1, "after")
    receiver.wait(1)
    punch(device, 1, "after")
    receiver.wait(2)
    assert {event["user_id"] for event in receiver.events()} == {"after"}


@pytest.mark.parametrize("batch_max", [1, 20])
def test_a_target_that_was_down_receives_its_backlog_in_order(
    frequent_retries: Relay, batch_max: int
) -> None:
    device = frequent_retries.device()
    receiver = Receiver()
    port = int(receiver.url.split(":")[2].split("/")[0])
    subscription = frequent_retries.subscribe(
        receiver, device, batch_max=batch_max, batch_wait_ms=0, max_in_flight=10
    )
    receiver.close()
    worker = child(frequent_retries, "worker", "workers.dispatcher")
    for _ in range(12 if batch_max > 1 else 1):  # so that there are ten batches to fail
        punch(device, 1)
        time.sleep(0.02)
    punch(device, 30)
    before = resident(worker)
    punch(device, 700)
    state = wait_for(lambda: shown(frequent_retries, subscription))
    assert state["pending"] + state["retrying"] * batch_max >= 600
    wait_for(lambda: len(scheduled_jobs(frequent_retries, subscription)) <= 1)
    attempted = rows(frequent_retries, subscription)
    assert len(attempted) <= 40, "a backlog burns no attempts"
    assert resident(worker) - before < 20 * 1024 * 1024
    again = Receiver(port)
    expected = stored(device)
    wait_for(lambda: len(set(ids_of(again))) == len(expected), 60, 0.1)
    names = list(dict.fromkeys(ids_of(again)))
    assert sorted(names) == expected
    assert out_of_order(names, expected, 10 * batch_max) == 0
    wait_for(lambda: shown(frequent_retries, subscription)["pending"] == 0)
    assert shown(frequent_retries, subscription)["retrying"] == 0
    again.close()


def test_a_batching_target_continues_when_all_its_attempts_are_dead_letters(one_retry: Relay) -> None:
    """After ten failures in a row, nothing is left to retry, so an event from the queue shows whether it is back."""
    device = one_retry.device()
    receiver = Receiver()
    port = int(receiver.url.split(":")[2].split("/")[0])
    subscription = one_retry.subscribe(receiver, device, batch_max=2, batch_wait_ms=0, max_in_flight=20)
    receiver.close()
    punch(device, 45)
    wait_for(lambda: shown(one_retry, subscription)["dead"] >= 10, 20)
    again = Receiver(port)
    newest = stored(device)[-1]
    wait_for(lambda: newest in ids_of(again), 20)
    wait_for(
        lambda: shown(one_retry, subscription)["pending"] + shown(one_retry, subscription)["retrying"] == 0,
        20,
    )
    again.close()


def test_the_store_keeps_no_data_of_successful_deliveries(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device)
    punch(device, 50)
    receiver.wait(50)
    wait_for(lambda: shown(relay, subscription)["delivered"] == 50)
    store = client(relay)
    for part in ("queue", "due", "retry", "dead", "state", "batches", "tests"):
        name = f"{{s0}}:sub:{subscription['id']}:{part}"
        kind = store.type(name)
        assert kind == b"none" or (kind == b"stream" and store.xlen(name) == 0), name
