"""Which queues of deleted subscriptions were moved to the new subscription that takes them over."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import ResponseError

from app.store.server.connection import Connection, is_away

TOOK_OVER = "took_over"  # field of `health`: the last subscription whose keys were moved


def count_moved(connection: Connection, new: str, takes_over: Sequence[tuple[str, object]]) -> int:
    """Return how many of these, from the oldest, were moved on all shards. A damaged key counts as not moved."""
    if not takes_over:
        return 0
    # The owner of each one's keys afterwards: if the next was created before the move, that one.
    owners = [*(name for name, _ in takes_over[1:]), new]
    pipeline = connection.redis.pipeline(transaction=False)
    for shard in connection.shards:
        for owner in owners:
            pipeline.hget(shard.subscription(owner, "health"), TOOK_OVER)
    answers = pipeline.execute(raise_on_error=False)
    counts = []
    for start in range(0, len(answers), len(owners)):
        moved = 0
        for place, answer in enumerate(answers[start : start + len(owners)]):
            if isinstance(answer, Exception):
                if is_away(answer) or not isinstance(answer, ResponseError):
                    raise answer
            elif answer is not None and answer.decode(errors="replace") == takes_over[place][0]:
                moved = place + 1
        counts.append(moved)
    return min(counts)
