"""A deleted subscription leaves no data in the store, whatever was in progress."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import pytest
import redis

from app.base.addresses import AddressGuard
from app.events.samples import sample
from app.settings.table import load
from app.store import Store
from app.store.server.connection import make_async_client
from app.store.server.keys import Shard
from app.store.subscriptions.records import Subscription
from tests.delivery.tools import client, keys_of, punch
from tests.harness import Device, Receiver, Relay
from workers.delivery.attempts import Attempts
from workers.delivery.loading import Loader
from workers.delivery.log_lines import Live
from workers.delivery.parking import Parking
from workers.delivery.results import Outcome, Settler
from workers.delivery.shard_context import Context
from workers.delivery.subscribers import Subscribers
from workers.delivery.target import Stored
from workers.http.client import Client
from workers.rq.removal import remove_older

SHARD = Shard(0)
MORE_THAN_AT_ONCE = 70  # targets whose outcomes are written down together


def left_of(relay: Relay, subscription: dict[str, Any]) -> list[str]:
    """Return the keys of a subscription, and the shards' notes about it."""
    noted = [name.decode() for name in client(relay).hkeys(SHARD.parked)]
    return keys_of(relay, subscription) + [name for name in noted if subscription["id"] in name]


def delete(relay: Relay, subscription: dict[str, Any]) -> None:
    path = f"/v1/subscriptions/{subscription['id']}?now=true"
    assert relay.call("DELETE", path).status_code == 204


def begin_replay(store: Store, former: Subscription) -> None:
    store.replays.begin(former.id, 0, int(time.time() * 1000))


def replay_events(store: Store, former: Subscription) -> None:
    entry, _ = store.connection.redis.xrevrange(SHARD.events, count=1)[0]
    store.deliveries.replay(former.id, SHARD, [entry.decode()])


def send_test(store: Store, former: Subscription) -> None:
    store.deliveries.send_test(former, sample("attendance.punch"))


def plan_test(store: Store, former: Subscription) -> None:
    store.deliveries.plan_test(former, sample("attendance.punch"), 600)


def release_test(store: Store, former: Subscription) -> None:
    store.deliveries.release_test(former, f"{int(time.time() * 1000)}-0:t123456")


def release_retries(store: Store, former: Subscription) -> None:
    store.deliveries.release(former.id, SHARD, time.time() * 1000)


def note_parked(store: Store, former: Subscription) -> None:
    store.parked.note(SHARD, former.id, "made up")


def note_unreadable(store: Store, former: Subscription) -> None:
    store.parked.note_unreadable(SHARD, former.id, "0-0")


def forgive(store: Store, former: Subscription) -> None:
    store.deliveries.forgive(former.id)


WRITERS = (
    begin_replay,
    replay_events,
    send_test,
    plan_test,
    release_test,
    release_retries,
    note_parked,
    note_unreadable,
    forgive,
)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_worker_that_read_a_subscription_before_its_deletion_writes_nothing(
    relay: Relay, device: Device, receiver: Receiver, write: Any
) -> None:
    punch(device)
    subscription = relay.subscribe(receiver, device)
    store = Store(load(relay.environment))
    former = store.subscriptions.get(subscription["id"])
    assert former is not None
    delete(relay, subscription)
    write(store, former)
    assert left_of(relay, subscription) == []


def test_a_damaged_parked_record_hides_no_subscription(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    name, redis = f"sub_{secrets.token_hex(8)}", client(relay)
    redis.hset(SHARD.parked, name, b"{}")
    try:
        assert relay.subscribe(receiver, device)["status"] == "active"
        assert relay.call("GET", "/v1/subscriptions").status_code == 200
        assert relay.call("GET", "/health").status_code == 200
    finally:
        redis.hdel(SHARD.parked, name)


def test_data_about_deleted_subscriptions_from_an_earlier_version_is_removed(relay: Relay) -> None:
    name = f"sub_{secrets.token_hex(8)}"
    client(relay).hset(SHARD.parked, mapping={name: b'{"at": 0, "reason": "made up"}', f"{name}:from": "1-0"})
    remove_older(Store(load(relay.environment)), 0)
    assert left_of(relay, {"id": name}) == []


class Dispatching:
    """The parts of a dispatcher that write, with the lease of the relay's own dispatcher."""

    def __init__(self, relay: Relay) -> None:
        settings = load(relay.environment)
        self.store = Store(settings)
        token = client(relay).get(SHARD.lease).decode()
        self.context = Context(self.store, make_async_client(settings), SHARD, token)
        http = Client(AddressGuard(settings.allow_private_targets), user_agent="test", max_connections=1)
        self.settler = Settler(self.context, self._schedule)
        self.subscribers = Subscribers(self.context, http, self.settler)
        Parking(self.context, self.settler)
        loader = Loader(self.context, self.settler)
        self.attempts = Attempts(self.context, http, Live(False), self.settler, loader, self.subscribers)

    async def _schedule(self, subscription: str, shard: int, at_ms: int, before_ms: int) -> None:
        """Do nothing, because no jobs are needed here."""


def subscribe_many(relay: Relay, receiver: Receiver, device: Device, count: int) -> list[dict[str, Any]]:
    return [relay.subscribe(receiver, device, batch_wait_ms=number) for number in range(count)]


def test_results_for_many_deleted_subscriptions_leave_no_data(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    made = subscribe_many(relay, receiver, device, MORE_THAN_AT_ONCE)

    async def run() -> None:
        dispatching = Dispatching(relay)
        await dispatching.subscribers.reload()
        for one in made:
            target = dispatching.context.targets[one["id"]]
            outcome = Outcome("retry", "1-0", 1, 1, 500, 1, "http_500", 1, int(time.time() * 1000), "{}")
            dispatching.settler.note(target, outcome)
        for one in made:
            await asyncio.to_thread(dispatching.store.subscriptions.delete, one["id"])
        await dispatching.settler.settle()

    asyncio.run(run())
    assert {one["id"]: left_of(relay, one) for one in made} == {one["id"]: [] for one in made}


def test_a_batch_whose_subscription_is_deleted_while_the_store_is_away_leaves_no_data(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    (subscription,) = subscribe_many(relay, receiver, device, 1)

    async def run() -> None:
        dispatching = Dispatching(relay)
        context = dispatching.context
        await dispatching.subscribers.reload()
        target = context.targets[subscription["id"]]
        form, calls = context.scripts.form, []

        async def lost(**arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) > 1:
                return await form(**arguments)
            await asyncio.to_thread(dispatching.store.subscriptions.delete, subscription["id"])
            await dispatching.subscribers.reload()
            raise redis.ConnectionError("made up")

        context.scripts.form = lost
        await dispatching.attempts._formed(target, "1-0:b123456", [Stored("1-0", b"", b"", None)])

    asyncio.run(run())
    assert left_of(relay, subscription) == []
