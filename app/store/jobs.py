"""RQ's queue: the relay's slow work. What it runs is in `workers/jobs.py`, named so that it isn't imported."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rq import Queue

QUEUE = "relay"
_KEEP_FAILED_SECONDS = 3_600


def queue(connection: Any) -> Queue:
    """The relay's queue."""
    return Queue(QUEUE, connection=connection, default_timeout=600)


def enqueue_replay(connection: Any, subscription_id: str, since_ms: int | None, until_ms: int | None) -> None:
    """Has the stored events of a time range delivered to a subscription again."""
    queue(connection).enqueue(
        "workers.jobs.replay",
        subscription_id,
        since_ms,
        until_ms,
        result_ttl=0,
        failure_ttl=_KEEP_FAILED_SECONDS,
        job_timeout=3_600,
    )


def enqueue_test(connection: Any, subscription_id: str, event: dict[str, Any], delay_seconds: int) -> None:
    """Has a made-up event sent to a subscription after a while, if it is still there then."""
    queue(connection).enqueue_in(
        timedelta(seconds=delay_seconds),
        "workers.jobs.send_test",
        subscription_id,
        event,
        result_ttl=0,
        failure_ttl=_KEEP_FAILED_SECONDS,
    )
