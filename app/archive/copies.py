"""Copies the archive into a backup and back, as pairs of bytes: a row's values as JSON, and what is encrypted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from app.archive.data_keys import DataKeys, Seal
from app.archive.database import Database
from app.archive.writing import insert_rows

EVENTS, PUNCHES, KEYS = "events", "punches", "data_keys"
Pairs = list[tuple[bytes, bytes]]
Place = tuple[int, int]
_CHUNK = 500


def place_of(entry: str) -> Place:
    """Return the place of a stream entry, `ms-sequence`."""
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence)


def copied(database: Database, before: Mapping[int, Place]) -> Iterator[tuple[str, Pairs]]:
    """Yield all data keys and punches, and the events before a place (ms, sequence) by shard; all of other shards.

    Raises ArchiveAway and ArchiveRefused.
    """
    from sqlalchemy import select, tuple_

    from app.archive.tables import data_keys, events, punches

    def chunk(statement: Any) -> list[Any]:
        with database.reading() as connection:
            return [] if connection is None else list(connection.execute(statement.limit(_CHUNK)).mappings())

    for row in chunk(select(data_keys)):
        yield KEYS, [(orjson.dumps(row["number"]), row["sealed"])]
    for table, kind in ((punches, PUNCHES), (events, EVENTS)):
        key, after = list(table.primary_key.columns), None
        while True:
            statement = select(table).order_by(*key)
            if after is not None:
                statement = statement.where(tuple_(*key) > after)
            rows = chunk(statement)
            pairs: Pairs = []
            for row in rows:
                # The names are SQLAlchemy's subclass of str, which orjson doesn't accept as keys.
                values = {str(name): value for name, value in row.items()}
                sealed = values.pop("body", b"")
                entry = (values["ms"], values["sequence"])
                if kind == PUNCHES or values["shard"] not in before or entry < before[values["shard"]]:
                    pairs.append((orjson.dumps(values), sealed))
            if pairs:
                yield kind, pairs
            if len(rows) < _CHUNK:
                break
            after = tuple(rows[-1][column.name] for column in key)


class Restoring:
    """Writes the rows of a backup. The events are encrypted with a data key of this archive."""

    def __init__(self, database: Database, keys: DataKeys) -> None:
        self._database = database
        self._keys = keys
        self._of_backup = keys.foreign()
        self._newest: tuple[int, Seal] | None = None

    def write(self, kind: str, pairs: Pairs) -> None:
        """Write rows that aren't there yet. Raises ArchiveAway, ValueError for malformed rows, and SealError."""
        if kind == KEYS:
            for number, sealed in pairs:
                self._of_backup.add(int(orjson.loads(number)), sealed)
            return
        rows: list[dict[str, Any]] = [orjson.loads(values) for values, _ in pairs]
        if kind == EVENTS:
            if self._newest is None:
                self._newest = self._keys.newest()
            newest, seal = self._newest
            for row, (_, sealed) in zip(rows, pairs, strict=True):
                place = f"{row['shard']}:{row['ms']}-{row['sequence']}"
                row["body"] = seal(self._of_backup.open(row["data_key"], sealed, place), place)
                row["data_key"] = newest
        with self._database.writing() as connection:
            insert_rows(connection, rows if kind == EVENTS else [], rows if kind == PUNCHES else [])
