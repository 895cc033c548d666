"""Removes old rows, and what SQLite keeps of removed ones."""

from __future__ import annotations

from app.archive.database import ArchiveAway, Database

_AT_ONCE = 5_000  # events in one transaction
_AHEAD_SECONDS = 7_200


def remove_events(database: Database, shard: int, event_type: str, before_ms: int) -> int:
    """Remove a shard's events of a type that were received before a time; return how many."""
    from sqlalchemy import delete, select

    from app.archive.tables import events

    chosen = (events.c.shard == shard) & (events.c.type == event_type)
    oldest = (
        select(events.c.ms)
        .where(chosen, events.c.ms < before_ms)
        .order_by(events.c.ms)
        .offset(_AT_ONCE)
        .limit(1)
    )
    count = 0
    while True:
        with database.writing() as connection:
            bound = connection.execute(oldest).scalar()
            upto = before_ms if bound is None else bound + 1
            count += connection.execute(delete(events).where(chosen, events.c.ms < upto)).rowcount
        if bound is None:
            return count


def remove_punches(database: Database, before_ms: int) -> None:
    """Remove the punches that were received before a time."""
    from sqlalchemy import delete

    from app.archive.tables import punches

    # The index is by the punches' own time, which is at most two hours after their receipt.
    latest = before_ms // 1000 + _AHEAD_SECONDS
    with database.writing() as connection:
        connection.execute(delete(punches).where(punches.c.at < latest, punches.c.ms < before_ms))


def empty_log(database: Database) -> None:
    """Empty SQLite's log, which contains earlier values of erased rows. Raises ArchiveAway if it is in use."""
    with database.reading() as connection:
        if connection is not None and connection.dialect.name == "sqlite":
            connection.rollback()
            raw = connection.connection.driver_connection
            if raw is not None and raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise ArchiveAway(
                    "the rows are erased, but not yet from SQLite's log, because another program reads the file"
                )
