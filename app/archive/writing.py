"""Inserts rows that may be there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

Rows = list[dict[str, Any]]
_PUNCH = ("user_id", "at", "device_id", "place")


def insert_unless_there(connection: Connection, table: Table, **values: Any) -> None:
    """Insert a row, unless another process was faster."""
    connection.execute(_insert(connection)(table).values(**values).on_conflict_do_nothing())


def _insert(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    return insert


def insert_rows(connection: Connection, event_rows: Rows, punch_rows: Rows) -> None:
    """Insert events that aren't there yet, and punches of which no later revision is there."""
    from sqlalchemy import or_

    from app.archive.tables import events, punches

    insert = _insert(connection)
    if event_rows:
        connection.execute(insert(events).on_conflict_do_nothing(), event_rows)
    # One statement can't change a row twice, so only the last revision of a batch is written.
    by_revision = sorted(punch_rows, key=lambda row: (row["ms"], row["sequence"]))
    latest = {tuple(row[name] for name in _PUNCH): row for row in by_revision}
    if latest:
        statement = insert(punches)
        new, old = statement.excluded, punches.c
        upsert = statement.on_conflict_do_update(
            index_elements=list(_PUNCH),
            set_={name: new[name] for name in ("ms", "sequence", "utc_offset", "direction")},
            where=or_(new.ms > old.ms, (new.ms == old.ms) & (new.sequence > old.sequence)),
        )
        connection.execute(upsert, list(latest.values()))
