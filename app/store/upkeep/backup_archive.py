"""The rows of the archive in a backup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from app.archive import ArchiveAway, ArchiveCannotHold, ArchiveRefused
from app.archive.copies import EVENTS, Restoring, place_of
from app.base.vault import SealError, Vault
from app.store.archiving.past import Past
from app.store.server.connection import Connection
from app.store.server.keys import STORE
from app.store.upkeep.backup_file import ARCHIVE, BackupError, Record, records


def rows_of_archive(connection: Connection, past: Past) -> Iterator[Record]:
    """Yield the rows of the archive that can't be made again from the store's events."""
    opened = past.opened()
    if opened is None:
        return
    archive, store_id = opened
    upto = {}
    for shard in connection.shards:
        oldest = connection.redis.xrange(shard.events, count=1)
        if oldest:
            upto[shard.number] = place_of(oldest[0][0].decode())
    for kind, pairs in archive.copied(store_id, upto):
        yield Record(kind.encode(), ARCHIVE, 0, [part for pair in pairs for part in pair])


def archive_to_restore(file: BinaryIO, past: Past, vault: Vault) -> Restoring | None:
    """Return what writes the archive's rows; None if there is to be no archive. Raises BackupError."""
    if past.archive is None:
        if past.is_wanted and any(_has_events(record) for record in records(file, vault)):
            raise BackupError(
                "the backup contains an archive. Set DATABASE_URL to the database for it, or RELAY_ARCHIVE_DAYS=0 to "
                "leave it out"
            )
        return None
    store_id = next(
        (record.values[0] for record in records(file, vault) if record.key == STORE.encode()), None
    )
    if store_id is None:
        return None  # of a store without an ID, nothing was archived
    try:
        return past.archive.restoring(store_id.decode())
    except (ArchiveAway, ArchiveRefused) as error:
        raise BackupError(f"the archive can't be restored: {error}") from None


def _has_events(record: Record) -> bool:
    return record.kind == ARCHIVE and record.key == EVENTS.encode()


def write_rows(archive: Restoring, record: Record) -> None:
    """Write the rows of a record. Raises BackupError."""
    values = iter(record.values)
    try:
        archive.write(record.key.decode(), list(zip(values, values, strict=True)))
    except (ArchiveAway, ArchiveCannotHold, SealError, ValueError, KeyError) as error:
        raise BackupError(
            f"part of the archive could not be restored ({type(error).__name__}), so the restore isn't complete. Empty "
            "the store and restore again"
        ) from None
