"""The event stream of a web process works even if the store was away when the process started."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.live.event_feed import EventFeed
from app.settings.table import load
from app.store import Store
from tests.harness import wait_for
from tests.stores import PASSWORD, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, "store", "appendonly yes", 'save ""', password=PASSWORD)
    yield made
    made.kill()


def test_the_stream_works_after_the_store_was_away(server: Server, tmp_path: Path) -> None:
    store = Store(
        load(
            {
                "REDIS_URL": server.url,
                "RELAY_SECRET_KEY": "made-up-secret-key-for-tests-only-0123456789",
                "RELAY_DATA_DIR": str(tmp_path),
            }
        )
    )
    feed, found = EventFeed(store), list[dict[str, Any]]()

    def listen() -> None:
        for event in feed.listen({}, 0.2):
            if event is not None:
                found.append(event)
                if len(found) == 2:
                    return

    server.kill()
    for _ in range(3):
        with pytest.raises(redis.RedisError):
            next(feed.listen({}, 0.2))
    server.start()
    wait_for(store.events.last_entries, 20)
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    fields = {"subscription_id": "sub_1", "target_url": "http://127.0.0.1/", "reason": "made up"}
    wait_for(lambda: feed._listeners, 20)
    for count in (1, 2):  # a second event, because the first may be read as history
        store.relay_events.publish("subscription.disabled", fields)
        wait_for(lambda count=count: len(found) >= count, 20)
    thread.join(20)
    assert not thread.is_alive()
    wait_for(lambda: not feed._running, 20)  # no listeners are left
