"""The results of an attempt: success, retry, dead letter, replay. Contract §4."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from email.utils import formatdate
from itertools import pairwise
from typing import Any

import pytest

from tests.delivery.tools import (
    act,
    change,
    ids_of,
    keys_of,
    misbehaving,
    plan,
    punch,
    rows,
    scheduled_jobs,
    shown,
    wait_rows,
)
from tests.harness import Device, Receiver, Relay, verify, wait_for
from tests.http.raw_servers import Behaviour, Connection
from tests.relay.tools import problem


async def _hang(connection: Connection) -> None:
    await connection.request()
    await asyncio.sleep(60)


async def _drip(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(1_000):
        await connection.send(b"x")
        await asyncio.sleep(0.2)


async def _hang_up(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def _babble(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"SSH-2.0-OpenSSH_9.2\r\n")


def test_a_failed_delivery_is_retried_on_schedule(relay: Relay, device: Device, receiver: Receiver) -> None:
    receiver.answer = plan(500, 404, 200)
    subscription = relay.subscribe(receiver, device)
    punch(device)
    tries = receiver.wait(3)
    events = [verify(subscription["secret"], got) for got in tries]
    assert events[0] == events[1] == events[2]
    assert {got.headers["webhook-id"] for got in tries} == {events[0]["id"]}
    stamps = [int(got.headers["webhook-timestamp"]) for got in tries]
    assert stamps == sorted(set(stamps)), "a fresh timestamp each"
    assert all(later.at - earlier.at >= 0.9 for earlier, later in pairwise(tries))
    (row,) = wait_rows(relay, subscription, 1, status="delivered")
    assert (row["event_id"], row["attempt_count"], row["response_status"]) == (events[0]["id"], 3, 200)
    assert [attempt["response_status"] for attempt in row["attempts"]] == [500, 404, 200]
    assert [attempt["error"] for attempt in row["attempts"]] == ["http_500", "http_404", None]
    assert rows(relay, subscription, status="retrying") == []


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(relay: Relay, device: Device, receiver: Receiver, status: int) -> None:
    receiver.answer = plan(then=status)
    subscription = relay.subscribe(receiver, device)
    punch(device)
    (row,) = wait_rows(relay, subscription, 1)
    assert (row["status"], row["response_status"], row["attempt_count"]) == ("delivered", status, 1)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(one_retry: Relay, receiver: Receiver, status: int) -> None:
    elsewhere = Receiver()
    receiver.answer = lambda _: (status, {"Location": elsewhere.url}, b"")
    device = one_retry.device()
    subscription = one_retry.subscribe(receiver, device)
    punch(device)
    (row,) = wait_rows(one_retry, subscription, 1, status="dead")
    assert (row["attempt_count"], row["response_status"], row["error"]) == (2, status, "redirect")
    assert elsewhere.received == []
    elsewhere.close()


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, "delivered"), (64 * 1024 + 1, "dead")])
def test_a_response_above_64_kib_is_a_failure(
    one_retry: Relay, receiver: Receiver, size: int, status: str
) -> None:
    receiver.answer = lambda _: (200, {}, b"x" * size)
    device = one_retry.device()
    subscription = one_retry.subscribe(receiver, device)
    punch(device)
    (row,) = wait_rows(one_retry, subscription, 1, status=status)
    assert row["error"] == (None if status == "delivered" else "too_large")


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [(_hang, "timeout"), (_drip, "timeout"), (_hang_up, "reset"), (_babble, "protocol_error")],
)
def test_a_misbehaving_server_is_a_failure(one_retry: Relay, behaviour: Behaviour, error: str) -> None:
    device = one_retry.device()
    with misbehaving(behaviour) as url:
        body = {"target_url": url, "events": ["*"], "filters": {"device_ids": [device.id]}}
        subscription = one_retry.call("POST", "/v1/subscriptions", json=body).json()
        punch(device)
        (row,) = wait_rows(one_retry, subscription, 1, 15, status="dead")
    assert [attempt["error"] for attempt in row["attempts"]] == [error] * 2
    assert all(attempt["duration_ms"] < 3_000 for attempt in row["attempts"])


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed(
    relay: Relay, device: Device, receiver: Receiver, status: int, as_date: bool
) -> None:
    value = formatdate(time.time() + 4, usegmt=True) if as_date else "3"
    receiver.answer = plan((status, {"Retry-After": value}, b""))
    subscription = relay.subscribe(receiver, device, max_in_flight=1)
    punch(device, 2)
    first, again, other = receiver.wait(3, 15)
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    assert again.at - first.at >= 2.4
    assert other.at >= again.at
    (row,) = [row for row in wait_rows(relay, subscription, 2) if row["attempt_count"] == 2]
    assert row["status"] == "delivered"


def test_retry_after_holds_all_deliveries_of_the_target(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = plan((429, {"Retry-After": "3"}, b""))
    relay.subscribe(receiver, device)
    punch(device)
    (first,) = receiver.wait(1)
    punch(device, 5)
    receiver.wait(7, 15)
    assert min(got.at for got in receiver.received[1:]) - first.at >= 2.9


def test_after_the_last_retry_it_is_a_dead_letter_that_can_be_replayed(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    receiver.answer = plan(then=500)
    subscription = relay.subscribe(receiver, device)
    punch(device)
    (row,) = wait_rows(relay, subscription, 1, 15, status="dead")
    assert row["attempt_count"] == 4
    assert row["next_attempt_at"] is None
    assert shown(relay, subscription)["dead"] == 1
    count = len(receiver.received)
    assert count == 4
    receiver.answer = plan()
    act(relay, subscription, "replay", event_ids=[row["event_id"]])
    receiver.wait(count + 1)
    (row,) = wait_rows(relay, subscription, 1, status="delivered")
    assert row["event_id"] == receiver.received[0].headers["webhook-id"]
    assert row["event_id"] == receiver.received[-1].headers["webhook-id"]
    wait_for(lambda: shown(relay, subscription)["dead"] == 0)
    assert rows(relay, subscription, status="dead") == []


def test_a_batch_that_is_a_dead_letter_can_be_replayed_unchanged(
    one_retry: Relay, receiver: Receiver
) -> None:
    receiver.answer = plan(then=500)
    device = one_retry.device()
    subscription = one_retry.subscribe(receiver, device, batch_max=3, batch_wait_ms=60_000)
    punch(device, 3)
    (row,) = wait_rows(one_retry, subscription, 1, 15, status="dead")
    receiver.answer = plan()
    act(one_retry, subscription, "replay", event_ids=[row["batch_id"]])
    first, *_, last = receiver.wait(3)
    assert last.headers["webhook-id"] == row["batch_id"]
    assert last.body == first.body
    wait_for(lambda: shown(one_retry, subscription)["dead"] == 0)


def test_a_replay_by_time_sends_matching_events_in_order(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    before = datetime.now(UTC)
    punch(device, 620)
    device.send_done(device.sample(1))
    subscription = relay.subscribe(receiver, device, events=["attendance.punch"], max_in_flight=1)
    assert receiver.received == []
    act(relay, subscription, "replay", since=before.isoformat())
    receiver.wait(620, 20)
    expected = [event["id"] for event in relay.events(device_id=device.id, type="attendance.punch")]
    assert ids_of(receiver) == expected
    until = relay.get(f"/v1/events/{expected[30]}")["received_at"]
    act(relay, subscription, "replay", since=before.isoformat(), until=until)
    receiver.wait(640)
    assert set(ids_of(receiver)[620:]) <= set(expected[:50])


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"since": "2126-01-01T00:00:00Z", "until": "2126-01-02T00:00:00Z"}, "since"),
        ({"since": "2126-01-01T00:00:00Z"}, "since"),
        ({"event_ids": ["evt_nonsense"]}, "event_ids"),
        ({"event_ids": ["bat_00000000000000000000000000"]}, "event_ids"),
        ({"event_ids": []}, "event_ids"),
        ({"ids": []}, "ids"),
    ],
)
def test_an_invalid_replay_is_refused(
    relay: Relay, device: Device, receiver: Receiver, body: dict[str, Any], fault: str
) -> None:
    subscription = relay.subscribe(receiver, device)
    answer = relay.call("POST", f"/v1/subscriptions/{subscription['id']}/replay", json=body)
    problem(answer, 422, fault)


def test_the_log_is_paged_and_filtered(one_retry: Relay, receiver: Receiver) -> None:
    device = one_retry.device()
    receiver.answer = plan(*[500] * 4)
    subscription = one_retry.subscribe(receiver, device, max_in_flight=1)
    receiver.answer = plan(500, 500, 200, 200, 200, 500, 200)
    punch(device, 6)  # dead, delivered three times, delivered at the second try, delivered
    wait_for(
        lambda: len(rows(one_retry, subscription)) == 6 and shown(one_retry, subscription)["retrying"] == 0,
        15,
    )
    path = f"/v1/subscriptions/{subscription['id']}/deliveries"
    everything, cursor = [], None
    while True:
        page = one_retry.get(path, params={"limit": 2, "cursor": cursor})
        assert len(page["data"]) <= 2
        everything += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert everything == rows(one_retry, subscription)
    assert len({row["id"] for row in everything}) == 6
    assert [row["last_attempt_at"] for row in everything] == sorted(
        (row["last_attempt_at"] for row in everything), reverse=True
    )
    assert len(rows(one_retry, subscription, status="dead")) == 1
    assert len(rows(one_retry, subscription, status="delivered")) == 5
    problem(one_retry.call("GET", path, params={"status": "lost"}), 422, "status")
    problem(one_retry.call("GET", path, params={"cursor": "nonsense"}), 422, "cursor")


def test_changing_a_filter_does_not_change_the_others(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, device)
    changed = change(relay, subscription, filters={"user_ids": ["7"]})
    assert changed["filters"]["device_ids"] == [device.id]
    assert changed["filters"]["user_ids"] == ["7"]
    punch(device, 1, "8")
    punch(device, 1, "7")
    assert receiver.wait(1)[0].json["user_id"] == "7"
    assert change(relay, subscription, filters={"user_ids": []})["filters"]["user_ids"] == []
    problem(relay.call("PATCH", f"/v1/subscriptions/{subscription['id']}", json={"id": "sub_1"}), 422, "id")


def test_deletion_stops_deliveries_immediately_and_leaves_no_data(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    gathered = threading.Event()
    receiver.answer = lambda _: (gathered.wait(10), (500, {}, b""))[1]
    made = [
        relay.subscribe(receiver, device, batch_max=batch_max, batch_wait_ms=0, max_in_flight=3)
        for batch_max in (1, 10)
    ]
    punch(device, 40)
    gathered.set()  # those after the first three go in batches; ten failures in a row would hold them back
    wait_for(lambda: {len(got.events) > 1 for got in receiver.received} == {True, False}, 30)
    for subscription in made:
        path = f"/v1/subscriptions/{subscription['id']}"
        assert relay.call("DELETE", f"{path}?now=true").status_code == 204
        assert relay.call("DELETE", path).status_code == 404
        assert relay.call("GET", f"{path}/deliveries").status_code == 404
    witness = Receiver()
    relay.subscribe(witness, device)
    punch(device, 3)
    witness.wait(3, 30)  # the dispatcher knows of this subscription, hence of the deletions before it
    known_at = time.time()
    time.sleep(2.5)  # retries would be due
    witness.close()
    # On a busy machine, the receiver may read earlier requests late. No new ones may be sent.
    assert [got for got in receiver.received if int(got.headers["webhook-timestamp"]) > known_at] == []
    for subscription in made:
        assert [key for key in keys_of(relay, subscription) if not key.startswith("rq:")] == []


def test_a_failing_target_has_one_scheduled_job(slow_retries: Relay, receiver: Receiver) -> None:
    device = slow_retries.device()
    receiver.answer = plan(then=500)
    subscription = slow_retries.subscribe(receiver, device, max_in_flight=100)
    punch(device, 80)
    wait_for(lambda: shown(slow_retries, subscription)["retrying"] >= 10)
    wait_for(lambda: len(scheduled_jobs(slow_retries, subscription)) == 1)
    tries = len(receiver.received)
    receiver.wait(tries + 10, 20)  # the first retries have failed, too: the next are hundreds of seconds away
    wait_for(lambda: len(scheduled_jobs(slow_retries, subscription)) == 1)


def test_a_test_event_is_sent_to_a_paused_target(slow_retries: Relay, receiver: Receiver) -> None:
    device = slow_retries.device()
    receiver.answer = plan(500, 500)
    subscription = slow_retries.subscribe(receiver, device, max_in_flight=1)
    punch(device, 2)
    wait_for(lambda: shown(slow_retries, subscription)["retrying"] == 1)
    act(slow_retries, subscription, "test")
    receiver.wait(2, 2.5)
    assert receiver.received[1].json["test"] is True
