"""redis-py still works as app/store/server/redis_clients_internals.py expects."""

from __future__ import annotations

import pytest
import redis

from app.settings.table import load
from app.store import Store
from app.store.server import wrong_types
from app.store.server.keys import API_KEYS, AUDIT, COUNTERS, EMPLOYEES, SUBSCRIPTIONS, WRONG_TYPES
from tests.harness import Relay


def test_calls_pipelines_and_transactions_record_a_key_of_the_wrong_type(relay: Relay) -> None:
    connection = Store(load(relay.environment)).connection
    client = connection.redis
    dumps = {key: client.dump(key) for key in (AUDIT, COUNTERS, SUBSCRIPTIONS, EMPLOYEES, API_KEYS)}
    try:
        for key in dumps:
            client.delete(key)
            client.set(key, "x")
        with pytest.raises(redis.ResponseError):
            client.hgetall(SUBSCRIPTIONS)
        with pytest.raises(redis.ResponseError):
            client.pipeline(transaction=True).xlen(AUDIT).execute()
        with pytest.raises(redis.ResponseError):
            connection.at(EMPLOYEES).pipeline(transaction=True).hgetall(EMPLOYEES).execute()
        with pytest.raises(redis.ResponseError):
            connection.at(API_KEYS).hgetall(API_KEYS)
        (answer,) = client.pipeline(transaction=False).hgetall(COUNTERS).execute(raise_on_error=False)
        assert isinstance(answer, redis.ResponseError)
        assert {name.decode() for name in client.smembers(WRONG_TYPES)} >= set(dumps)
        assert set(wrong_types.all_wrong(client)) >= set(dumps)
    finally:
        for key, value in dumps.items():
            client.delete(key)
            if value is not None:
                client.restore(key, 0, value)
