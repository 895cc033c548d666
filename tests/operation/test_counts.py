"""Many bad requests are counted with one round trip per second, and no count is lost while the store is away."""

from __future__ import annotations

import pytest
import redis

from app.store import Store
from app.store.counts import Counts
from tests.clocks import Clock
from tests.stores import Server


def test_the_first_count_is_written_immediately_and_the_rest_once_a_second(store: Store) -> None:
    clock = Clock(100.0)
    counts = Counts(store.connection, clock)
    counts.add("made-up")
    assert store.relay_events.counters() == {"made-up": 1}
    for _ in range(500):
        counts.add("made-up")
    counts.add("other")
    calls = store.connection.redis.info("commandstats")["cmdstat_hincrby"]["calls"]
    assert calls == 1
    clock.now += 1
    counts.add("other")
    assert store.relay_events.counters() == {"made-up": 501, "other": 2}
    counts.write()
    assert store.relay_events.counters() == {"made-up": 501, "other": 2}


def test_counts_while_the_store_is_away_are_written_later(store: Store, server: Server) -> None:
    clock = Clock(100.0)
    counts = Counts(store.connection, clock)
    server.kill()
    server.process.wait()
    for _ in range(3):
        clock.now += 1
        with pytest.raises((redis.RedisError, OSError)):
            counts.add("made-up")
    server.start()
    counts.write()
    assert store.relay_events.counters() == {"made-up": 3}
