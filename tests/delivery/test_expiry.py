"""A subscription with `expires_in` is deleted automatically."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest

from app.events.samples import sample
from app.settings.table import load
from app.store import Store
from app.store.server.keys import SUBSCRIPTIONS, Shard
from app.store.subscriptions.matching import Matcher
from tests.delivery.tools import change, client, keys_of, punch, shown
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import problem
from workers.delivery.pace import Pace
from workers.delivery.target import Target


def seconds_left(subscription: dict[str, Any]) -> float:
    assert subscription["expires_at"].endswith("Z") and len(subscription["expires_at"]) == 24
    return datetime.fromisoformat(subscription["expires_at"]).timestamp() - time.time()


def test_expires_in_counts_from_the_request(relay: Relay, device: Device, receiver: Receiver) -> None:
    made = relay.subscribe(receiver, device, expires_in=600)
    assert 500 < seconds_left(made) <= 600
    assert relay.subscribe(receiver, device, max_in_flight=1)["expires_at"] is None
    assert change(relay, made, description="other")["expires_at"] == made["expires_at"]
    assert 6_900 < seconds_left(change(relay, made, expires_in=7_000)) <= 7_000
    assert change(relay, made, expires_in=None)["expires_at"] is None
    assert shown(relay, made)["expires_at"] is None


@pytest.mark.parametrize("seconds", [59, 31_536_001, "600", 600.5])
def test_a_time_out_of_range_is_refused(relay: Relay, receiver: Receiver, seconds: Any) -> None:
    body = {"target_url": receiver.url, "event_types": ["*"], "expires_in": seconds}
    problem(relay.call("POST", "/v1/subscriptions", json=body), 422, "expires_in")


def test_an_expired_subscription_is_deleted_and_an_event_is_published(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    watcher = Receiver()
    watching = relay.subscribe(watcher, events=["subscription.disabled"])
    made = relay.subscribe(receiver, device, expires_in=600)
    punch(device)
    receiver.wait(1)
    redis = client(relay)
    record = orjson.loads(redis.hget(SUBSCRIPTIONS, made["id"]))
    redis.hset(SUBSCRIPTIONS, made["id"], orjson.dumps({**record, "expires_at": time.time() - 1}))
    assert relay.call("GET", f"/v1/subscriptions/{made['id']}").status_code == 404
    wait_for(lambda: keys_of(relay, made) == [] and not redis.hexists(SUBSCRIPTIONS, made["id"]), 30)
    wait_for(lambda: made["id"] in [event["subscription_id"] for event in watcher.events()])
    (event,) = [one for one in watcher.events() if one["subscription_id"] == made["id"]]
    assert "expired" in event["reason"]
    entries = [(one["action"], one["subject"]) for one in relay.get("/v1/audit")["data"]]
    assert ("subscription.expired", made["id"]) in entries
    relay.call("DELETE", f"/v1/subscriptions/{watching['id']}?now=true")
    watcher.close()


def test_nothing_is_sent_after_the_expiry_even_before_the_deletion(relay: Relay, receiver: Receiver) -> None:
    made = relay.subscribe(receiver, expires_in=600)
    found = Store(load(relay.environment)).subscriptions.get(made["id"])
    assert found is not None
    late, event = replace(found, expires_at=time.time() - 1), sample("attendance.punch")
    loop_time = time.monotonic()
    assert Matcher([found]).find(event) == [found] and Matcher([late]).find(event) == []
    assert Target(found, Shard(0), Pace(1)).may_start(loop_time)
    assert not Target(late, Shard(0), Pace(1)).may_start(loop_time)
