"""A flood of refused callbacks uses bounded memory and few calls to the store, and hides no device."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest
import redis

from app.callbacks.body import Refused
from app.callbacks.refusals import Refusals
from app.store import Store
from app.store.alerts.refused import (
    KEPT_SECONDS,
    MOST_OF_A_NETWORK,
    MOST_SOURCES,
    Refusal,
    RefusedCallbacks,
)
from app.store.server.keys import REFUSED
from tests.clocks import Clock
from tests.stores import Server

UNAUTHORISED = Refused(401, "unauthorised", "No device has this AuthToken.")


def refusal(number: int = 0, address: str = "203.0.113.7", at: float = 0.0) -> Refusal:
    return Refusal(
        at=at or time.time(),
        address=address,
        device_id=f"DEV{number}",
        token=f"{number:032x}",
        token_hint="wxyz",
        status=401,
        reason="unauthorised",
        detail="No device has this AuthToken.",
        size=400,
    )


def test_the_store_is_written_to_once_a_second(store: Store) -> None:
    clock = Clock(100.0)
    refused = RefusedCallbacks(store.connection, clock)
    refused.note(refusal())
    before = store.connection.redis.info("stats")["total_commands_processed"]
    for number in range(500):
        refused.note(refusal(number % 5))
    assert store.connection.redis.info("stats")["total_commands_processed"] - before <= 2  # these INFO calls
    clock.now += 1
    refused.note(refusal())
    assert {source.latest.device_id: source.count for source in refused.all()} == {
        "DEV0": 102,
        **{f"DEV{number}": 100 for number in range(1, 5)},
    }


def test_a_flood_of_random_sources_is_bounded_and_hides_no_retrying_device(store: Store) -> None:
    refused = RefusedCallbacks(store.connection, Clock(100.0))
    for _ in range(3):
        refused.note(refusal(7, "198.51.100.1"))
    refused.write()
    for number in range(20):
        for host in range(200):
            refused.note(refusal(host, f"10.0.{number}.{host}"))
        refused.write()
    found = refused.all()
    assert len(found) <= MOST_SOURCES
    assert store.connection.redis.hlen(REFUSED) <= 2 * MOST_SOURCES
    assert next(source.count for source in found if source.latest.address == "198.51.100.1") == 3


def test_many_sources_at_one_address_leave_room_for_others(store: Store) -> None:
    refused = RefusedCallbacks(store.connection, Clock(100.0))
    for _ in range(3):
        for number in range(1000):
            refused.note(refusal(number))
        refused.write()
    refused.note(refusal(1, "198.51.100.1"))
    refused.write()
    found = refused.all()
    flooding = [source for source in found if source.latest.address == "203.0.113.7"]
    assert len(flooding) == MOST_OF_A_NETWORK + 1
    assert sum(source.count for source in flooding) == 3000
    assert len(found) == len(flooding) + 1


def test_a_flood_from_few_networks_hides_neither_a_registered_device_nor_a_new_one(store: Store) -> None:
    """Both are in the list and in the events, although each source of the flood sends more often than they do."""
    refused = RefusedCallbacks(store.connection, Clock(100.0))
    for _ in range(3):
        for number in range(MOST_OF_A_NETWORK):
            for address in ("203.0.113.7", "203.0.113.8", "203.0.113.9"):
                refused.note(refusal(number, address))
        refused.write()
    store.refused_events.publish()
    new = replace(refusal(1, "198.51.100.1"), device_id="NEW")
    registered = replace(refusal(2, "203.0.113.7"), device_id="KNOWN", registered=True)
    for one in (new, registered):
        refused.note(one)
        refused.write()
    assert {"NEW", "KNOWN"} <= {source.latest.device_id for source in refused.all()}
    assert len(refused.all()) == MOST_SOURCES
    shard = store.connection.shards[0]
    before = store.connection.redis.xlen(shard.by_type("callback.refused"))
    store.refused_events.publish()
    assert store.connection.redis.xlen(shard.by_type("callback.refused")) == before + 1


def test_counts_of_processes_are_added_and_old_sources_are_removed(store: Store) -> None:
    one, other = (
        RefusedCallbacks(store.connection, Clock(100.0)),
        RefusedCallbacks(store.connection, Clock(100.0)),
    )
    one.note(refusal(9, at=time.time() - KEPT_SECONDS - 60))
    for _ in range(2):
        one.note(refusal(1))
        other.note(refusal(1))
    one.write()
    other.write()
    (source,) = one.all()
    assert source.count == 4
    assert store.connection.redis.hlen(REFUSED) == 2


def test_refused_callbacks_while_the_store_is_away_are_written_later(store: Store, server: Server) -> None:
    clock = Clock(100.0)
    refused = RefusedCallbacks(store.connection, clock)
    server.kill()
    server.process.wait()
    for _ in range(3):
        clock.now += 1
        with pytest.raises((redis.RedisError, OSError)):
            refused.note(refusal())
    server.start()
    refused.write()
    assert [source.count for source in refused.all()] == [3]


def test_damaged_entries_hide_no_others(store: Store) -> None:
    refused = RefusedCallbacks(store.connection, Clock(100.0))
    for name, value in (
        ("ref_a", b"{"),
        ("ref_b", b"[]"),
        ("ref_c", b'{"first_at": 1}'),
        ("ref_d:count", b"x"),
    ):
        store.connection.redis.hset(REFUSED, name, value)
    refused.note(refusal())
    refused.write()
    assert [source.count for source in refused.all()] == [1]
    store.connection.redis.delete(REFUSED)
    store.connection.redis.set(REFUSED, "x")
    assert refused.all() == []


def test_the_number_of_events_is_limited_for_many_sources(store: Store) -> None:
    for number in range(60):
        store.refused.note(refusal(number, f"198.51.100.{number % 3}"))
    store.refused.write()
    now = int(time.time() * 1000)
    for _ in range(3):
        store.refused_events.publish(now)
    shard = store.connection.shards[0]
    assert store.connection.redis.xlen(shard.by_type("callback.refused")) == 20
    store.refused.note(refusal(99, "198.51.100.77"))
    store.refused.write()
    store.refused_events.publish(now + 1)
    assert store.connection.redis.xlen(shard.by_type("callback.refused")) == 20


def test_a_source_is_reported_again_after_an_hour(store: Store) -> None:
    now = time.time()
    for hours in range(3):
        store.refused.note(refusal(at=now + hours * 3600))
        store.refused.write()
        for minutes in (0, 30):
            store.refused_events.publish(int((now + hours * 3600 + minutes * 60) * 1000) + 1)
    assert store.connection.redis.xlen(store.connection.shards[0].by_type("callback.refused")) == 3


def test_the_log_has_one_line_a_minute_per_source_and_a_limit_in_total(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(100.0)
    refusals = Refusals(store, clock)
    caplog.set_level(logging.WARNING, "relay.callback")
    for _ in range(10):
        for number in range(100):
            refusals.note(UNAUTHORISED, "203.0.113.7", [f"DEV{number}"], b"{}", 2)
    assert len(caplog.messages) == 20
    assert caplog.messages[0] == (
        "refused a callback from 203.0.113.7 for device DEV0: 401 No device has this AuthToken."
    )
    caplog.clear()
    clock.now += 61
    refusals.note(UNAUTHORISED, "203.0.113.7", ["DEV0"], b"{}", 2)
    assert caplog.messages == [
        "800 more callbacks from other sources were refused",
        "refused 10 callbacks from 203.0.113.7 for device DEV0: 401 No device has this AuthToken.",
    ]
