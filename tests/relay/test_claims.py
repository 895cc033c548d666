"""Keys that are set for a while are replaced if they have no expiry, so that nothing stops for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.settings.table import load
from app.store import Store
from app.store.server.claims import claim
from app.store.server.keys import CHORES, PUBLIC_URL_DUE, SAMPLED, UPKEEP
from app.store.server.repairs import repairs
from tests.harness import Relay, wait_for


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    folder = tmp_path_factory.mktemp("claims")
    with Relay(folder, WEB_CONCURRENCY="1", RELAY_PUBLIC_URL="http://127.0.0.1:9") as made:
        yield made


@pytest.fixture
def store(relay: Relay) -> Store:
    return Store(load(relay.environment))


@pytest.mark.parametrize("key", [CHORES, SAMPLED, UPKEEP, PUBLIC_URL_DUE])
@pytest.mark.parametrize("how", ["hash", "string"])
def test_a_damaged_one_is_replaced_by_the_worker_and_reported(
    relay: Relay, store: Store, key: str, how: str
) -> None:
    client = store.connection.redis
    wait_for(lambda: client.exists(key))
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(key)
    if how == "hash":
        pipeline.hset(key, "a", "b")
    else:
        pipeline.set(key, "a damaged value")
    pipeline.execute()
    wait_for(lambda: client.type(key) == b"string" and client.pttl(key) > 0)
    told = f"The value of {key} in the store was damaged"
    wait_for(lambda: told in " ".join(relay.get("/health")["warnings"]))


def test_one_that_is_set_is_respected(relay: Relay, store: Store) -> None:
    key = "{g}:failed:made-up"
    assert claim(store.connection, key, "a", seconds=60, longest=600)
    assert not claim(store.connection, key, "b", seconds=60)
    store.connection.redis.expire(key, 500)
    assert not claim(store.connection, key, "b", seconds=60, longest=600)
    assert store.connection.redis.get(key) == b"a" and key not in repairs(store.connection)


def test_one_whose_expiry_is_too_long_after_the_clock_was_set_back_is_replaced_but_not_damaged(
    relay: Relay, store: Store
) -> None:
    key = "{g}:failed:another"
    store.connection.redis.set(key, "a", ex=601)
    assert claim(store.connection, key, "b", seconds=60, longest=600)
    assert store.connection.redis.ttl(key) <= 60 and key not in repairs(store.connection)
