"""Reads a shard's events in a range of an index, oldest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Executable

_FIRST_CHUNK = 50  # most pages are short
_CHUNK = 500


def rows_above(
    shard: int,
    above: tuple[int, int],
    below: tuple[int, int],
    conditions: Mapping[str, Sequence[str]],
    read: Callable[[Executable], Sequence[Any]],
) -> Iterator[Any]:
    """Yield the rows between two places, oldest first. `conditions` are values of columns, of which one must match."""
    from sqlalchemy import select, tuple_

    from app.archive.tables import events

    key, size = (events.c.ms, events.c.sequence), _FIRST_CHUNK
    chosen = (events.c[name].in_(values) for name, values in conditions.items())
    statement = (
        select(*key, events.c.data_key, events.c.body)
        .where(events.c.shard == shard, tuple_(*key) < below, *chosen)
        .order_by(*key)
    )
    while True:
        # The first condition follows from the second. It lets a database use the index.
        rows = read(statement.where(events.c.ms >= above[0], tuple_(*key) > above).limit(size))
        yield from rows
        if len(rows) < size:
            return
        above, size = (rows[-1].ms, rows[-1].sequence), _CHUNK
