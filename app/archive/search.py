"""Finds the newest events of several ranges of an index with one statement, instead of one for each range."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import Executable

Place = tuple[int, int]
Read = Callable[["Executable"], Sequence[Any]]
_CHUNK = 500
_LEAST_SPAN_MS = 1_000

# Each reads the newest rows of each range, and of these the newest. SQLite has no LATERAL.
_POSTGRESQL = """
WITH {lists}
SELECT ms, sequence, data_key, body
FROM {names} CROSS JOIN LATERAL (
    SELECT event.ms, event.sequence, event.data_key, event.body {of_range}
) AS found
ORDER BY ms DESC, sequence DESC LIMIT :size
"""
_SQLITE = """
WITH {lists}
SELECT ms, sequence, data_key, body FROM relay_events
WHERE rowid IN (
    SELECT found.rowid FROM {names} CROSS JOIN relay_events AS found
    WHERE found.rowid IN (SELECT event.rowid {of_range})
    ORDER BY found.ms DESC, found.sequence DESC LIMIT :size
)
ORDER BY ms DESC, sequence DESC
"""
_OF_RANGE = """
FROM relay_events AS event
WHERE event.shard = :shard AND event.ms >= :oldest AND (event.ms, event.sequence) < (:ms, :number) AND {chosen}
ORDER BY event.ms DESC, event.sequence DESC LIMIT :size
"""


class Search(NamedTuple):
    """Selects a shard's events that were received at `oldest_ms` or later.

    `ranges` are values of the columns with which an index begins. Each combination of them is a range of the index, in
    the order of receipt. `conditions` are values of other columns. Of each column, one value must match.
    """

    shard: int
    oldest_ms: int
    ranges: Mapping[str, Sequence[str]]
    conditions: Mapping[str, Sequence[str]]

    def rows(self, place: Place, first: int, read: Read, *, is_sqlite: bool) -> Iterator[Any]:
        """Yield the rows below a place, newest first. `read` executes a statement; the first one reads `first` rows."""
        size = first
        while True:
            rows = read(self._newest(place, size, is_sqlite=is_sqlite))
            yield from rows
            if len(rows) < size:
                return
            size, place = _CHUNK, (rows[-1].ms, rows[-1].sequence)
            # That statement reads so many rows of each range. If there are several, the next rows are therefore read
            # from a period that should contain twice as many.
            while self._has_several_ranges():
                span = max(rows[0].ms - rows[-1].ms, _LEAST_SPAN_MS)
                since = max(self.oldest_ms, place[0] - 2 * span * size // len(rows))
                found = read(self._of_period(since, place, size))
                yield from found
                if len(found) < size:
                    place = since, 0
                    break
                rows, place = found, (found[-1].ms, found[-1].sequence)

    def _has_several_ranges(self) -> bool:
        return prod(map(len, self.ranges.values())) > 1

    def _of_period(self, since: int, place: Place, size: int) -> Executable:
        """Return a statement for the newest rows from a time to a place."""
        from sqlalchemy import select, tuple_

        from app.archive.tables import events

        return (
            select(events.c.ms, events.c.sequence, events.c.data_key, events.c.body)
            .where(
                events.c.shard == self.shard,
                events.c.ms >= since,
                events.c.ms <= place[0],
                tuple_(events.c.ms, events.c.sequence) < place,
                *(events.c[name].in_(some) for name, some in {**self.ranges, **self.conditions}.items()),
            )
            .order_by(events.c.ms.desc(), events.c.sequence.desc())
            .limit(size)
        )

    def _newest(self, place: Place, size: int, *, is_sqlite: bool) -> Executable:
        """Return a statement for the newest rows below a place."""
        if not self._has_several_ranges():
            return self._of_period(self.oldest_ms, place, size)
        from sqlalchemy import bindparam, text

        names = {name: f"{name}_values" for name in self.ranges}
        lists, chosen = [], []
        given: dict[str, Any] = {"shard": self.shard, "oldest": self.oldest_ms, "size": size}
        given["ms"], given["number"] = place
        for name, some in self.ranges.items():
            values = {f"{name}_{number}": value for number, value in enumerate(some)}
            given |= values
            lists.append(f"{names[name]}(value) AS (VALUES {', '.join(f'(:{one})' for one in values)})")
            chosen.append(f"event.{name} = {names[name]}.value")
        given |= self.conditions
        chosen += [f"event.{name} IN :{name}" for name in self.conditions]
        statement = (_SQLITE if is_sqlite else _POSTGRESQL).format(
            lists=", ".join(lists),
            names=" CROSS JOIN ".join(names.values()),
            of_range=_OF_RANGE.format(chosen=" AND ".join(chosen)),
        )
        return text(statement).bindparams(
            *(bindparam(name, expanding=True) for name in self.conditions), **given
        )
