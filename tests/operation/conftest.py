"""The stores of these tests: a separate one, and the shared relay's for scheduled backups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings.table import load
from app.store import Store
from app.store.server.keys import BACKUPS
from tests.harness import Relay
from tests.stores import Server


@pytest.fixture
def relay_store(relay: Relay) -> Iterator[Store]:
    store = Store(load(relay.environment))
    yield store
    store.connection.redis.delete(BACKUPS)


@pytest.fixture
def store(server: Server, tmp_path: Path) -> Store:
    key = "made-up-secret-key-for-tests-only-0123456789"
    return Store(
        load({"REDIS_URL": server.url, "RELAY_SECRET_KEY": key, "RELAY_DATA_DIR": str(tmp_path / "data")})
    )
