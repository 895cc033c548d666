"""A copy of all that is kept in the store, and its way back into an empty one.

The file: one line of JSON that says what it is, then a record for each key (its name, the milliseconds it has left or
0, and what DUMP says), each part a length and bytes; a record without a name ends it, and a SHA-256 of all before
closes it. Keys are copied while the relay runs, the queues first and the events last, so that nothing is queued in the
copy that isn't among its events. What is only of the moment (leases, the words to workers) stays out.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from app import __version__
from app.events.flatten import received_iso
from app.store.connection import Connection

_FORMAT = "cams-relay backup 1"
_LENGTH = struct.Struct(">Q")
_CHUNK = 100
_DIGEST = 32
_OF_THE_MOMENT = ("lease", "wake", "commands:wake", "workers", "upkeep", "rewritten")


class BackupError(Exception):
    """A file that is no whole backup, or a store that is not empty."""


def _left_out(key: bytes) -> bool:
    return not key.startswith(b"{") or key.decode(errors="replace").partition(":")[2] in _OF_THE_MOMENT


def _rank(key: bytes) -> int:
    """In which order keys are copied: what refers to others before them."""
    rest = key.partition(b":")[2]
    if rest == b"fanout":
        return 0
    if rest.startswith(b"sub:"):
        return 1
    return 3 if rest == b"events" else 2


def backup(connection: Connection, path: Path) -> int:
    """Writes a backup that only we may read; how many keys it has. The file appears once it is whole."""
    client, vault = connection.redis, connection.vault
    keys = sorted((key for key in client.scan_iter(count=1_000) if not _left_out(key)), key=_rank)
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    count, digest = 0, hashlib.sha256()
    with os.fdopen(descriptor, "wb") as file:

        def write(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        head = {
            "format": _FORMAT,
            "version": __version__,
            "made_at": received_iso(datetime.now(UTC)),
            "key_id": vault.key_id,
            "shards": len(connection.shards),
        }
        write(orjson.dumps(head) + b"\n")
        for start in range(0, len(keys), _CHUNK):
            for key, left, dumped in _dumped(client, keys[start : start + _CHUNK]):
                for part in (key, str(left).encode(), dumped):
                    write(_LENGTH.pack(len(part)) + part)
                count += 1
        write(_LENGTH.pack(0))
        file.write(digest.digest())
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    return count


def _dumped(client: Any, keys: list[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.pttl(key)
        pipeline.dump(key)
    answers = pipeline.execute()
    for key, left, dumped in zip(keys, answers[::2], answers[1::2], strict=True):
        if dumped is not None:  # it may have gone meanwhile
            yield key, max(0, left), dumped


def restore(connection: Connection, path: Path) -> int:
    """Puts a backup into an empty store; how many keys. Raises BackupError, before anything is written.

    The devices' queues and the streams continue where the copy ended: ids that were given out are not given out again.
    """
    client, vault = connection.redis, connection.vault
    with path.open("rb") as file:
        head = _check(file)
        if head["key_id"] != vault.key_id and not vault.rotating:
            raise BackupError(
                "the backup was made under another RELAY_SECRET_KEY: set that one, or name it as RELAY_SECRET_KEY_OLD"
            )
        if head["shards"] > len(connection.shards):
            raise BackupError(
                f"the backup has {head['shards']} shards: set RELAY_SHARDS={head['shards']} or more"
            )
        if any(not _left_out(key) for key in client.scan_iter(match="{*", count=1_000)):
            raise BackupError("the store is not empty: restore into a new one")
        file.seek(0)
        file.readline()
        count, records = 0, _records(file)
        while chunk := [record for _, record in zip(range(_CHUNK), records, strict=False)]:
            pipeline = client.pipeline(transaction=False)
            for key, left, dumped in chunk:
                pipeline.restore(key, left, dumped)
            pipeline.execute()
            count += len(chunk)
    return count


def _check(file: BinaryIO) -> dict[str, Any]:
    """The head of a whole backup. Raises BackupError."""
    size = os.fstat(file.fileno()).st_size
    try:
        head = orjson.loads(file.readline(10_000))
        known = head["format"] == _FORMAT
    except (orjson.JSONDecodeError, KeyError, TypeError):
        known = False
    if not known:
        raise BackupError("this is no backup that this version of cams-relay can read")
    file.seek(0)
    digest, left = hashlib.sha256(), size - _DIGEST
    while left > 0 and (data := file.read(min(1 << 20, left))):
        digest.update(data)
        left -= len(data)
    if file.read() != digest.digest():
        raise BackupError("the backup is damaged or not whole: its checksum doesn't fit")
    found: dict[str, Any] = head
    return found


def _records(file: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    def part() -> bytes:
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        return file.read(length)

    while key := part():
        left = int(part())
        yield key, left, part()
