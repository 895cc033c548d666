"""Background work of a shard's dispatcher ends with it."""

from __future__ import annotations

import asyncio
import gc
import warnings
from pathlib import Path

import redis.asyncio

from app.settings.table import load
from app.store import Store
from app.store.server.keys import Shard
from workers.delivery.shard_context import Context


def test_a_coroutine_cancelled_before_it_starts_is_closed_without_a_warning(tmp_path: Path) -> None:
    begun = []

    async def work() -> None:
        begun.append(1)

    async def run() -> None:
        store = Store(load({"RELAY_DATA_DIR": str(tmp_path)}))
        context = Context(store, redis.asyncio.Redis(), Shard(0), "token")
        context.spawn(work())
        context.cancel_tasks()  # as at the dispatcher's end
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        context.spawn(work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(run())
        gc.collect()
    assert [str(one.message) for one in warned if "never awaited" in str(one.message)] == []
    assert begun == [1], "only the one that wasn't cancelled"
