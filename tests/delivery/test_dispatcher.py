"""The health state that the dispatcher reports."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.base.loops import LOOPS
from app.store.server.keys import Shard
from workers import dispatcher
from workers.delivery.lease_errors import LeaseLost, WritesLost


def test_the_end_of_a_lease_is_not_a_failure_even_if_several_tasks_notice_it() -> None:
    error = ValueError("made up")
    assert dispatcher._failure(ExceptionGroup("tasks", [LeaseLost(), WritesLost()])) is None
    failure = dispatcher._failure(ExceptionGroup("tasks", [LeaseLost(), error]))
    assert isinstance(failure, ExceptionGroup) and failure.exceptions == (error,)


def test_deliveries_that_continue_are_reported_as_healthy_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/health` continued to warn about failures until the worker was restarted."""
    shard, loop = Shard(7), LOOPS.get("deliveries 7")
    monkeypatch.setattr(dispatcher, "_RENEW_SECONDS", 0.01)
    monkeypatch.setattr(dispatcher, "_WELL_SECONDS", 0.5)

    class Own:
        _lease_from_now = staticmethod(lambda: 0.0)

        async def _hold(self, _: Shard, __: int) -> int:
            return 1

    async def renewed_for(seconds: float) -> None:
        context: Any = SimpleNamespace(writes=0, note_writes=lambda *_: None, renewed=lambda _: None)
        renewal = dispatcher.Dispatcher._renew(cast(Any, Own()), shard, context)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(renewal, seconds)

    for _ in range(3):
        loop.failed(ValueError("made up"))
    asyncio.run(renewed_for(0.1))
    assert loop.trouble(), "it may fail again at once"
    asyncio.run(renewed_for(2.0))
    assert loop.trouble() is None
    LOOPS.end("deliveries 7")
