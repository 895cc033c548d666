"""Encrypts the content of the spool again after a change of the secret key."""

from __future__ import annotations

import os
from pathlib import Path

from app.base.vault import SealError, Vault
from app.store.spool import records
from app.store.spool.disk import Disk
from app.store.spool.items import Sealer
from app.store.spool.records import Damage, Progress, Record
from app.store.spool.segment import Segment, free_path


def seal_spool_anew(folder: Path, vault: Vault) -> tuple[int, int, int]:
    """Encrypt the files of ended processes with the present key, including those that they couldn't read.

    Returns the number of encrypted callbacks, of segments in use, and of callbacks that neither key decrypts.
    """
    disk = Disk()
    done = busy = lost = 0
    for name in disk.names(folder):
        path = folder / name
        if path.suffix not in (".spool", ".parked", ".unreadable"):
            continue
        try:
            segment = Segment(disk, path, disk.open(path), Sealer(vault).opens)
        except FileNotFoundError:
            continue
        try:
            if segment.lock():
                count, unread = _seal_segment_anew(disk, segment, vault)
                done, lost = done + count, lost + unread
            else:
                busy += 1
        finally:
            segment.close()
    return done, busy, lost


def _seal_segment_anew(disk: Disk, segment: Segment, vault: Vault) -> tuple[int, int]:
    """Return how many callbacks were encrypted again, and how many can't be decrypted."""
    fresh, count, unread = _sealed_anew(segment, vault)
    path = segment.path
    readable_now = path.suffix == ".unreadable" and not unread
    if not count and not readable_now:
        return count, unread
    partial = path.with_suffix(".rekeyed")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    if readable_now:
        partial.rename(free_path(disk, path.with_suffix(".spool")))
        path.unlink()
    else:
        partial.rename(path)
    disk.sync_folder(path.parent)
    return count, unread


def _sealed_anew(segment: Segment, vault: Vault) -> tuple[bytes, int, int]:
    """Return a segment's content in the present format and with the present key. Damaged bytes stay as they are.

    An old segment with content that can't be decrypted keeps its format, because it must not be read as the present
    one.
    """
    found = list(segment.records(segment.beginning))
    parts: list[bytes] = []
    count = unread = 0
    for part in found:
        if isinstance(part, Damage):
            parts.append(segment.read(part.start, part.end - part.start))
            continue
        try:
            record, is_fresh = _record_anew(part, vault)
            parts.append(record)
            count += is_fresh
        except SealError:
            parts.append(segment.read(part.start, part.end - part.start))
            unread += 1
    if segment.old and unread:
        return segment.read(0, segment.size()), 0, unread
    return records.header(Progress()) + b"".join(parts), count, unread


def _record_anew(record: Record, vault: Vault) -> tuple[bytes, bool]:
    """Return the record with the present key, and whether it had another one. Raises SealError."""
    sealer = Sealer(vault)
    fresh = vault.seal_anew("spool", record.sealed)
    item = sealer.item(record)
    if item is None:
        raise SealError("a spooled callback was written by a later version of cams-relay")
    return sealer.framed(item, record.sealed if fresh is None else fresh), fresh is not None
