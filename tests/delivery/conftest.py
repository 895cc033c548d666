"""Relays with settings that differ from those of the shared relay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings.table import load
from app.store import Store
from tests.harness import API_KEY, Relay
from tests.stores import Server


@pytest.fixture(scope="session")
def one_retry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that waits a second for an answer, and gives up after one retry."""
    folder = tmp_path_factory.mktemp("relay")
    with Relay(folder, RELAY_DELIVERY_TIMEOUT="1", RELAY_RETRY_SCHEDULE="1") as made:
        yield made


@pytest.fixture(scope="session")
def slow_retries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that tries again after 3 s, and then not for a long time."""
    folder = tmp_path_factory.mktemp("relay")
    with Relay(folder, RELAY_RETRY_SCHEDULE="3,600,600") as made:
        yield made


@pytest.fixture(scope="session")
def frequent_retries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that tries again every 3 s, so that it finds a target that comes back, however late that is."""
    folder = tmp_path_factory.mktemp("relay")
    with Relay(folder, RELAY_RETRY_SCHEDULE=",".join(["3"] * 30)) as made:
        yield made


@pytest.fixture
def store(server: Server, tmp_path: Path) -> Store:
    """A separate store with two shards, without a worker."""
    environment = {
        "REDIS_URL": server.url,
        "RELAY_SECRET_KEY": "made-up-secret-key-for-tests-only-0123456789",
        "RELAY_API_KEY": API_KEY,
        "RELAY_DATA_DIR": str(tmp_path / "data"),
        "RELAY_SHARDS": "2",
    }
    return Store(load(environment))
