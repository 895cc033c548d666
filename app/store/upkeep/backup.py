"""Copies all data of the store to a file, and restores it into an empty store of any kind and version.

`backup_file` describes the file's format.

Keys are copied while the relay is running. The copy has the events at the beginning, with exactly the records for
detecting duplicates at that moment (see `backup_cut`), so a later callback is accepted when it is sent again.
Positions are copied before the data they refer to, a queue before the places to which its deliveries move, and the
other parts of a subscription at one moment, so that nothing is missed that moves meanwhile. Temporary data (leases,
notifications of workers, sessions) isn't copied.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import redis

from app import __version__
from app.archive import ArchiveAway, ArchiveRefused
from app.events.flatten import received_iso
from app.store.archiving.past import Past
from app.store.server.connection import Connection
from app.store.server.keys import (
    API_KEYS,
    KEY_ID,
    RESTORING,
    SHARDS,
    STORE,
    SUBSCRIPTION_PARTS,
    SUBSCRIPTIONS,
)
from app.store.upkeep.backup_archive import archive_to_restore, rows_of_archive, write_rows
from app.store.upkeep.backup_commands import write_into_store
from app.store.upkeep.backup_cut import Cut, CutLost, dedupe_kind, order
from app.store.upkeep.backup_encryption import EncryptedWriter
from app.store.upkeep.backup_file import (
    ARCHIVE,
    END,
    FORMAT,
    BackupError,
    Record,
    check,
    check_records,
    records,
    write_record,
)
from app.store.upkeep.backup_partial import is_partial_of, partial_copy, remove_abandoned

_KEYS_AT_ONCE = 100
_PARTS_AT_ONCE = 1_000
_ENTRIES_AT_ONCE = 500
_OF_THE_MOMENT = (
    "lease",
    "wake",
    "commands:wake",
    "workers",
    "chores",
    "loops",
    "listening",
    "sampled",
    "upkeep",
    "rewritten",
    "rewriting",
    "rewriting:events",
    "backup",
    "backups",
    "backup_origin",
    "restoring",
)
# The first process writes these into a new store.
_OF_ANY_START = tuple(key.encode() for key in (STORE, KEY_ID, SHARDS))
_EACH_OF_THE_MOMENT = ("failed:", "session:")
# By type: how a whole key is read.
_READ: dict[bytes, tuple[str, tuple[Any, ...]]] = {
    b"string": ("get", ()),
    b"hash": ("hgetall", ()),
    b"set": ("smembers", ()),
    b"zset": ("zrange", (0, -1)),
    b"list": ("lrange", (0, -1)),
}
# The parts of a subscription between which deliveries move, and their types.
_KIND_OF_PART = {
    **dict.fromkeys((b"due", b"retry", b"dead", b"settled"), b"zset"),
    **dict.fromkeys((b"state", b"batches", b"tests", b"answers", b"health"), b"hash"),
    **dict.fromkeys((b"replays", b"replayed", b"replay_records"), b"hash"),
}
_OF_DELIVERIES = (b"due", b"retry", b"dead", b"state", b"batches", b"answers", b"settled")


def _left_out(key: bytes) -> bool:
    rest = key.decode(errors="replace").partition(":")[2]
    return not key.startswith(b"{") or rest in _OF_THE_MOMENT or rest.startswith(_EACH_OF_THE_MOMENT)


def _rank(key: bytes) -> tuple[int, bytes, bool]:
    """Return the order of copying: positions, then each subscription's queue and its other parts, then the rest."""
    rest = key.partition(b":")[2]
    if rest in (b"fanout", b"attendance"):
        return 0, b"", False
    if rest.startswith(b"sub:"):
        owner, _, part = rest.rpartition(b":")
        return 1, key.partition(b":")[0] + owner, part in _KIND_OF_PART
    if dedupe_kind(key) is not None:
        return 4, b"", False
    return 3 if rest == b"events" else 2, b"", False


# Backup


def backup(connection: Connection, path: Path, past: Past, api_key: tuple[str, bytes] | None = None) -> int:
    """Write a backup that only we may read; return its number of keys. The file only appears once it is complete and
    checked.

    `api_key` is the digest and the record of an API key that isn't in the store, but must be in the copy. Raises
    BackupError, OSError and redis errors. Then no file is created.
    """
    for left in path.parent.iterdir():
        if is_partial_of(left.name, path.name):
            remove_abandoned(left)
    with partial_copy(path) as (file, partial):
        count = _copy(connection, file, past, api_key)
        file.flush()
        os.fsync(file.fileno())
        with partial.open("rb") as written:
            check(written)
            check_records(written, connection.vault)
        partial.rename(path)
        _sync_folder(path.parent)
    return count


def _sync_folder(folder: Path) -> None:
    """Make the folder's new name survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems can't
            raise
    finally:
        os.close(descriptor)


def _copy(connection: Connection, file: BinaryIO, past: Past, api_key: tuple[str, bytes] | None) -> int:
    client, vault, cut = connection.redis, connection.vault, Cut(connection)
    found = {key for key in client.scan_iter(count=1_000) if not _left_out(key)}
    keys = sorted(found | _parts_of_subscriptions(connection, found), key=_rank)
    copied, digest = set(), hashlib.sha256()

    def write(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    head = {
        "format": FORMAT,
        "id": secrets.token_hex(16),
        "version": __version__,
        "made_at": received_iso(datetime.now(UTC)),
        "key_id": vault.key_id,
        "shards": len(connection.shards),
        "archive": past.archive is not None,
    }
    more = [Record(API_KEYS.encode(), b"hash", 0, [api_key[0].encode(), api_key[1]])] if api_key else []
    first_line = orjson.dumps(head) + b"\n"
    write(first_line)
    encrypted = EncryptedWriter(write, vault, first_line)
    try:
        for record in chain(_records_of(connection, cut, keys), more, rows_of_archive(connection, past)):
            write_record(encrypted.write, record)
            if record.kind != ARCHIVE:
                copied.add(record.key)
            cut.renew()
        cut.read_changes()
    except CutLost:
        raise BackupError(
            "the backup was interrupted for more than two minutes, or a person was erased while it was made; run it "
            "again"
        ) from None
    except (ArchiveAway, ArchiveRefused) as error:
        raise BackupError(f"the archive can't be read: {error}") from None
    encrypted.write(END)
    encrypted.flush()
    file.write(digest.digest())
    return len(copied)


def _records_of(connection: Connection, cut: Cut, keys: list[bytes]) -> Iterator[Record]:
    """Yield all records, in the order of the keys."""
    for owner, group in groupby(keys, _together):
        if owner:
            yield from _read_subscription(connection, cut, list(group))
        else:
            for some in _batched(group, _KEYS_AT_ONCE):
                yield from _read(connection, cut, some)


def _batched(items: Iterable[bytes], most: int) -> Iterator[list[bytes]]:
    """Yield items in batches."""
    left = iter(items)
    while some := list(islice(left, most)):
        yield some


def _parts_of_subscriptions(connection: Connection, found: Iterable[bytes]) -> set[bytes]:
    """Yield all parts of all subscriptions, as a delivery may move to one that was empty while keys were listed."""
    names = {key.split(b":")[2].decode() for key in found if key.partition(b":")[2].startswith(b"sub:")}
    return {
        shard.subscription(name, part).encode()
        for name in names.union(name.decode() for name in connection.redis.hkeys(SUBSCRIPTIONS))
        for shard in connection.shards
        for part in SUBSCRIPTION_PARTS
    }


def _together(key: bytes) -> bytes:
    """Return the common name of a subscription's parts that are read at one moment; empty for other keys."""
    _, owner, moves = _rank(key)
    return owner if moves else b""


def _read(connection: Connection, cut: Cut, keys: list[bytes]) -> Iterator[Record]:
    client = connection.redis
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
        pipeline.pttl(key)
    answers, now = pipeline.execute(), int(time.time() * 1000)
    told: list[tuple[bytes, bytes, int, Any]] = []
    for key, kind, left in zip(keys, answers[::2], answers[1::2], strict=True):
        expires = now + left if left > 0 else 0
        if kind == b"stream":
            yield from _read_stream(client, cut, key, expires)
        elif kind not in _READ:  # `none`: it is gone by now
            continue
        elif dedupe_kind(key) is None:
            yield from _parts(key, kind, expires, _whole(client, key, kind))
        else:
            told.append((key, kind, expires, _whole(client, key, kind)))
    if told:
        cut.read_changes()  # after they were read
    for key, kind, expires, value in told:
        if kind == b"hash":
            yield from _parts(key, kind, expires, cut.hash_then(key, value))
        elif cut.was_there(key):
            yield from _parts(key, kind, expires, value)


def _read_subscription(connection: Connection, cut: Cut, keys: list[bytes]) -> Iterator[Record]:
    """Yield the parts between which deliveries move, as they are at one moment."""
    kinds = [_KIND_OF_PART[key.rpartition(b":")[2]] for key in keys]
    pipeline = connection.at(keys[0].decode()).pipeline(transaction=True)
    for key, kind in zip(keys, kinds, strict=True):
        _whole(pipeline, key, kind)
    found = dict(zip(keys, pipeline.execute(), strict=True))
    tests: dict[bytes, bytes] = next((value for key, value in found.items() if key.endswith(b":tests")), {})
    for key, kind in zip(keys, kinds, strict=True):
        value = found[key]
        if key.rpartition(b":")[2] in _OF_DELIVERIES:
            names = [item[0] if kind == b"zset" else item for item in value]
            later = {
                name for name in names if name not in tests and cut.is_later(key, name.partition(b":")[0])
            }
            if kind == b"zset":
                value = [item for item in value if item[0] not in later]
            else:
                value = {name: content for name, content in value.items() if name not in later}
        yield from _parts(key, kind, 0, value)


def _whole(client: Any, key: bytes, kind: bytes) -> Any:
    command, arguments = _READ[kind]
    more = {"withscores": True} if kind == b"zset" else {}
    return getattr(client, command)(key, *arguments, **more)


def _parts(key: bytes, kind: bytes, expires: int, found: Any) -> Iterator[Record]:
    if kind == b"string":
        values = [] if found is None else [found]
    elif kind == b"hash":
        values = [part for pair in found.items() for part in pair]
    elif kind == b"zset":
        values = [part for member, score in found for part in (repr(score).encode(), member)]
    else:
        values = list(found)
    for start in range(0, len(values), _PARTS_AT_ONCE):
        yield Record(key, kind, expires, values[start : start + _PARTS_AT_ONCE])


def _read_stream(client: Any, cut: Cut, key: bytes, expires: int) -> Iterator[Record]:
    of_events = _names_events(key)
    after = "-"
    # Before the entries, because entries that are added meanwhile get later IDs.
    try:
        last = client.xinfo_stream(key)["last-generated-id"]
    except redis.ResponseError as error:
        if "no such key" in str(error):
            return  # it is gone by now
        raise
    while rows := client.xrange(key, after, "+", count=_ENTRIES_AT_ONCE):
        values: list[bytes] = []
        for entry, fields in rows:
            if of_events and cut.is_later(key, entry):
                continue
            parts = [part for pair in fields.items() for part in pair]
            values += (entry, str(len(parts)).encode(), *parts)
        if values:
            yield Record(key, b"stream", expires, values)
        after = f"({rows[-1][0].decode()}"
        last = max(last, rows[-1][0], key=order)
    yield Record(key, b"stream", expires, [last])


def _names_events(key: bytes) -> bool:
    """Return whether a stream's entries are events, or have their IDs."""
    rest = key.partition(b":")[2]
    return (
        rest == b"events"
        or rest.startswith(b"events:")
        or (rest.startswith(b"sub:") and rest.endswith(b":queue"))
    )


# Back


def restore(
    connection: Connection, path: Path, past: Past, finish: Callable[[], object] = lambda: None
) -> int:
    """Restore a backup into an empty store; return the number of keys. Raises BackupError.

    The devices' queues and the streams continue where the copy ended, so IDs aren't used twice. Data that would have
    expired since the backup isn't restored. The store is marked until everything is restored and `finish` has
    returned, so that nobody uses it after an interruption (see `admission`).
    """
    client = connection.redis
    with path.open("rb") as file:
        head = check(file)
        _refuse_unfit(connection, head)
        check_records(file, connection.vault)
        archive = archive_to_restore(file, past, connection.vault) if head.get("archive") else None
        client.set(RESTORING, "1")
        restored, now = set(), int(time.time() * 1000)
        for record in records(file, connection.vault):
            if record.kind == ARCHIVE:
                if archive is not None:
                    write_rows(archive, record)
            elif not record.expires or record.expires > now:
                write_into_store(client, record)
                restored.add(record.key)
    finish()
    client.delete(RESTORING)
    return len(restored)


def _refuse_unfit(connection: Connection, head: dict[str, Any]) -> None:
    """Raise BackupError if a backup with this head can't be restored into the store."""
    client, vault = connection.redis, connection.vault
    if head["key_id"] != vault.key_id and not vault.rotating:
        raise BackupError(
            "the backup was made with another RELAY_SECRET_KEY; set that key as RELAY_SECRET_KEY or "
            "RELAY_SECRET_KEY_OLD"
        )
    if head["shards"] > len(connection.shards):
        raise BackupError(
            f"the backup has {head['shards']} shards; set RELAY_SHARDS={head['shards']} or more"
        )
    there = (key for key in client.scan_iter(match="{*", count=1_000) if key not in _OF_ANY_START)
    if any(not _left_out(key) for key in there):
        raise BackupError(
            "the store isn't empty. Restore into a new one. To replace the embedded store, stop the relay, move "
            "the folder `store` out of RELAY_DATA_DIR, and start `cams-relay store`."
        )
