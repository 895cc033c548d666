"""The store of the tests of scheduled backups."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.settings.table import load
from app.store import Store
from app.store.server.keys import BACKUPS
from tests.harness import Relay


@pytest.fixture
def kept(relay: Relay) -> Iterator[Store]:
    store = Store(load(relay.environment))
    yield store
    store.connection.redis.delete(BACKUPS)
