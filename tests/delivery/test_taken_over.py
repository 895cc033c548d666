"""Platforms such as n8n and Zapier recreate their subscription on every workflow change. No event is lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import orjson

from app.settings.table import load
from app.store import Store
from app.store.server.keys import SUBSCRIPTIONS
from app.store.subscriptions.records import KEPT_SECONDS
from tests.delivery.tools import client, ids_of, keys_of, plan, punch, rows, shown
from tests.harness import Device, Received, Receiver, Relay, wait_for
from tests.relay.tools import problem
from workers.rq.removal import remove_older


def users_of(receiver: Receiver) -> list[str]:
    """Return the users of the received punches. Events of the relay itself, such as `device.back`, have none."""
    return [event["user_id"] for event in receiver.events() if "user_id" in event]


def delete(relay: Relay, subscription: dict[str, Any], query: str = "") -> None:
    assert relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}{query}").status_code == 204


def subscribe_and_deliver(relay: Relay, device: Device, receiver: Receiver) -> dict[str, Any]:
    """Subscribe the receiver, and deliver a punch of user 1 to it."""
    subscription = relay.subscribe(receiver, device)
    punch(device, user="1")
    receiver.wait(1)
    return subscription


def check_nothing_is_taken_over(relay: Relay, device: Device, receiver: Receiver) -> None:
    """Check that a new subscription doesn't get a punch that arrived before it was created."""
    punch(device, user="2")
    wait_handed_out(relay)
    relay.subscribe(receiver, device)
    punch(device, user="3")
    receiver.wait(2)
    assert users_of(receiver) == ["1", "3"]


def wait_handed_out(relay: Relay) -> None:
    """Wait until every stored event has been added to the queues of the current subscriptions."""
    redis, shards = client(relay), Store(load(relay.environment)).connection.shards

    def is_done() -> bool:
        newest = [(shard, redis.xrevrange(shard.events, count=1)) for shard in shards]
        return all(not rows or redis.get(shard.fanout) == rows[0][0] for shard, rows in newest)

    wait_for(is_done)


def age(relay: Relay, subscription: dict[str, Any]) -> None:
    """Change the time of a subscription's deletion, so that its queue is no longer kept."""
    redis = client(relay)
    record = orjson.loads(redis.hget(SUBSCRIPTIONS, subscription["id"]))
    record["deleted_at"] -= KEPT_SECONDS + 1
    redis.hset(SUBSCRIPTIONS, subscription["id"], orjson.dumps(record))


def test_events_between_deletion_and_creation_go_to_the_new_subscription(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    first = subscribe_and_deliver(relay, device, receiver)
    delete(relay, first)
    assert relay.call("GET", f"/v1/subscriptions/{first['id']}").status_code == 404
    assert relay.call("DELETE", f"/v1/subscriptions/{first['id']}").status_code == 404
    assert first["id"] not in {
        one["id"] for one in relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    }
    for user in ("2", "3"):
        punch(device, user=user)
    wait_handed_out(relay)
    assert users_of(receiver) == ["1"], "nothing is sent for a deleted one"
    second = relay.subscribe(receiver, device, max_in_flight=1)
    assert second["id"] != first["id"] and second["secret"] != first["secret"]
    punch(device, user="4")
    wait_for(lambda: len(users_of(receiver)) >= 4)
    assert users_of(receiver) == ["1", "2", "3", "4"], "in the order of receipt, each once"
    wait_for(lambda: keys_of(relay, first) == [])


def test_failed_and_waiting_events_go_to_the_new_subscription(
    slow_retries: Relay, receiver: Receiver
) -> None:
    device = slow_retries.device()
    receiver.answer = plan(*[500] * 2)
    first = slow_retries.subscribe(receiver, device, max_in_flight=1, batch_max=2, batch_wait_ms=0)
    for user in ("1", "2", "3"):
        punch(device, user=user)
    receiver.wait(1)
    wait_for(lambda: shown(slow_retries, first)["retrying"] == 1)
    delete(slow_retries, first)
    assert len(receiver.received) == 1
    receiver.answer = plan()
    second = slow_retries.subscribe(receiver, device, max_in_flight=1)
    wait_for(
        lambda: {"1", "2", "3"} <= {event["user_id"] for got in receiver.accepted for event in got.events}
    )
    assert shown(slow_retries, second)["failing_since"] is None


def test_only_events_that_match_the_new_subscription_are_taken_over(
    slow_retries: Relay, receiver: Receiver
) -> None:
    device = slow_retries.device()
    receiver.answer = plan(500)
    first = slow_retries.subscribe(receiver, device)
    punch(device, user="1")
    wait_for(lambda: shown(slow_retries, first)["retrying"] == 1)
    delete(slow_retries, first)
    punch(device, user="2")
    punch(device, user="7")
    wait_handed_out(slow_retries)
    second = slow_retries.subscribe(receiver, device, filters={"user_ids": ["7"]})
    wait_for(lambda: "7" in users_of(receiver))
    wait_for(
        lambda: [row["error"] for row in rows(slow_retries, second, status="dropped")] == ["not_subscribed"]
    )
    assert users_of(receiver) == ["1", "7"]


def test_an_attempt_in_progress_is_not_repeated_by_the_new_subscription(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    may_answer = threading.Event()

    def slowly(_: Received) -> tuple[int, dict[str, str], bytes]:
        may_answer.wait(20)
        return 200, {}, b""

    receiver.answer = slowly
    first = subscribe_and_deliver(relay, device, receiver)
    delete(relay, first)
    second = relay.subscribe(receiver, device)
    punch(device, user="2")
    wait_handed_out(relay)
    may_answer.set()
    wait_for(lambda: "2" in users_of(receiver))
    assert users_of(receiver) == ["1", "2"]
    wait_for(lambda: shown(relay, second)["delivered"] == 2)


def test_several_creations_in_a_row_lose_no_events(relay: Relay, device: Device, receiver: Receiver) -> None:
    made = relay.subscribe(receiver, device)
    for user in range(6):
        delete(relay, made)
        punch(device, user=str(user))
        made = relay.subscribe(receiver, device)
    wait_for(lambda: {str(user) for user in range(6)} <= set(users_of(receiver)))
    assert sorted(set(ids_of(receiver))) == sorted(ids_of(receiver))


def test_a_subscription_with_another_target_takes_over_nothing(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    delete(relay, relay.subscribe(receiver, device))
    punch(device, user="1")
    wait_handed_out(relay)
    body = {
        "target_url": f"{receiver.url}/other",
        "event_types": ["*"],
        "filters": {"device_ids": [device.id]},
    }
    assert relay.call("POST", "/v1/subscriptions", json=body).status_code == 201
    punch(device, user="2")
    receiver.wait(1)
    assert users_of(receiver) == ["2"]


def test_deletion_with_now_keeps_no_queue(relay: Relay, device: Device, receiver: Receiver) -> None:
    first = subscribe_and_deliver(relay, device, receiver)
    problem(relay.call("DELETE", f"/v1/subscriptions/{first['id']}?now=1"), 422, "now")
    delete(relay, first, "?now=true")
    assert keys_of(relay, first) == []
    check_nothing_is_taken_over(relay, device, receiver)


def test_deletion_with_now_also_removes_a_kept_queue(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    first = subscribe_and_deliver(relay, device, receiver)
    delete(relay, first)
    assert keys_of(relay, first) != []
    delete(relay, first, "?now=true")
    assert keys_of(relay, first) == []
    assert relay.call("DELETE", f"/v1/subscriptions/{first['id']}?now=true").status_code == 404
    check_nothing_is_taken_over(relay, device, receiver)


def test_a_kept_queue_is_removed_after_a_minute(relay: Relay, device: Device, receiver: Receiver) -> None:
    first = subscribe_and_deliver(relay, device, receiver)
    delete(relay, first)
    remove_older(Store(load(relay.environment)), 0)
    assert keys_of(relay, first) != [], "the upkeep leaves it"
    age(relay, first)
    wait_for(
        lambda: keys_of(relay, first) == [] and not client(relay).hexists(SUBSCRIPTIONS, first["id"]), 30
    )
    relay.subscribe(receiver, device)
    punch(device, user="2")
    receiver.wait(2)
    assert users_of(receiver) == ["1", "2"]


def test_a_subscription_deleted_too_long_ago_is_not_taken_over(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    first = relay.subscribe(receiver, device)
    delete(relay, first)
    punch(device, user="1")
    wait_handed_out(relay)
    age(relay, first)
    relay.subscribe(receiver, device)
    punch(device, user="2")
    receiver.wait(1)
    assert users_of(receiver) == ["2"]


def test_a_deleted_subscription_does_not_count_towards_limits(tmp_path: Path, receiver: Receiver) -> None:
    with Relay(tmp_path, RELAY_MOST_SUBSCRIPTIONS="1") as relay:
        for _ in range(3):
            delete(relay, relay.subscribe(receiver))


def test_erasing_a_person_includes_kept_queues(slow_retries: Relay, receiver: Receiver) -> None:
    device, person = slow_retries.device(), f"p{time.time_ns()}"
    receiver.answer = plan(then=500)
    first = slow_retries.subscribe(receiver, device)
    punch(device, user=person)
    wait_for(lambda: shown(slow_retries, first)["retrying"] == 1)
    delete(slow_retries, first)
    Store(load(slow_retries.environment)).person_erasure.forget(person, None)
    receiver.answer = plan()
    slow_retries.subscribe(receiver, device)
    punch(device, user="2")
    wait_for(lambda: "2" in [event["user_id"] for got in receiver.accepted for event in got.events])
    assert person not in [event["user_id"] for got in receiver.accepted for event in got.events]


def test_a_kept_queue_survives_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    with Relay(tmp_path) as relay:
        device = relay.device()
        delete(relay, relay.subscribe(receiver, device))
        punch(device, user="1")
        wait_handed_out(relay)
    with Relay(tmp_path) as relay:
        relay.subscribe(receiver)
        wait_for(lambda: users_of(receiver) == ["1"], 20)
