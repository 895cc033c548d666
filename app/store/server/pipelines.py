"""Sends many calls to the store in pipelines of limited size, so that a long list doesn't hold up others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from app.base.yielding import let_others_run

Item = TypeVar("Item")

MOST_CALLS = 500  # per pipeline


def asked(
    client: Any,
    items: Iterable[Item],
    call: Callable[[Any, Item], object],
    *,
    calls: int = 1,
    raise_on_error: bool = True,
) -> Iterator[tuple[Item, Any]]:
    """Yield each item with the store's answer, or with a list of answers if `call` adds several calls for an item.

    `call` gets a pipeline and an item, and adds exactly `calls` calls. Between two pipelines, other tasks of this
    process can run. Raises redis errors; without `raise_on_error`, those of single calls are answers.
    """
    rest = iter(items)
    size = max(1, MOST_CALLS // calls)
    chunk = list(islice(rest, size))
    while chunk:
        pipeline = client.pipeline(transaction=False)
        for item in chunk:
            call(pipeline, item)
        answers = pipeline.execute(raise_on_error=raise_on_error)
        for place, item in enumerate(chunk):
            yield item, answers[place] if calls == 1 else answers[place * calls : (place + 1) * calls]
        chunk = list(islice(rest, size))
        if chunk:
            let_others_run()
