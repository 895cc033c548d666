"""Many bad requests are counted with one round trip per second, and no count is lost while the store is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from app.settings.table import load
from app.store import Store
from app.store.counts import Counts
from tests.stores import PASSWORD, Server


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, "store", 'save ""', password=PASSWORD)
    yield made
    made.kill()


@pytest.fixture
def store(server: Server, tmp_path: Path) -> Store:
    key = "made-up-secret-key-for-tests-only-0123456789"
    return Store(
        load({"REDIS_URL": server.url, "RELAY_SECRET_KEY": key, "RELAY_DATA_DIR": str(tmp_path / "data")})
    )


def test_the_first_count_is_written_immediately_and_the_rest_once_a_second(store: Store) -> None:
    clock = Clock()
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
    clock = Clock()
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
