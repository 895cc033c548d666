"""`/health` says that no worker delivers, unless the process or the store has just started."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.health import checks
from app.settings.table import load
from app.store import Store
from tests.harness import Relay


def test_a_store_that_has_just_started_gives_the_workers_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(tmp_path, WEB_CONCURRENCY="1") as relay:
        relay.kill("worker")
        store = Store(load(relay.environment))
        for shard in store.connection.shards:
            store.connection.redis.delete(shard.lease)
        monkeypatch.setattr(checks, "_STARTED", time.monotonic() - 1_000_000)
        monkeypatch.setattr(checks, "_STARTING_SECONDS", 10_000.0)
        assert checks.running_worker_problems(store) == []
        assert "No worker delivers" in checks.worker_problems(store)[0]
        monkeypatch.setattr(checks, "_STARTING_SECONDS", 0.0)
        assert "No worker delivers" in checks.running_worker_problems(store)[0]
