"""The file of a backup.

It has one line of JSON that describes it, then records, then a SHA-256 of everything before. The records are encrypted
(see `backup_encryption`), except in files of version 1.0.0 and earlier. A record is a number of parts, and then each
part as a length and bytes: the key, its type, when it expires (ms since 1970, 0 for never), and values for the type's
command. A large key has several records. A record without parts ends them.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from app.base.vault import Vault
from app.settings.table import MOST_SHARDS
from app.store.upkeep.backup_encryption import LENGTH, EncryptedReader

FORMAT = "cams-relay backup 3"
_UNENCRYPTED = "cams-relay backup 2"
END = LENGTH.pack(0)  # a record without parts
_DIGEST = 32
_LONGEST_HEAD = 10_000  # bytes
_LATEST = 1 << 53  # ms since 1970
ARCHIVE = b"archive"  # the kind of records with rows of the archive
_VALUES_EACH = {b"string": 1, b"hash": 2, b"set": 1, b"zset": 2, b"list": 1, ARCHIVE: 2}


class BackupError(Exception):
    """The file isn't a complete backup, or can't be restored into the store."""


class Record(NamedTuple):
    """A key's value or a part of it. For a stream: `id`, the number of fields, the fields; or its last ID."""

    key: bytes
    kind: bytes
    expires: int
    values: list[bytes]


def head_of(path: Path) -> dict[str, Any]:
    """Return the first line of a complete backup, which includes its `key_id` and `shards`. Raises BackupError."""
    with path.open("rb") as file:
        return check(file)


def check(file: BinaryIO) -> dict[str, Any]:
    """Check the file's first line, which is returned, its checksum, and records that aren't encrypted.

    Raises BackupError.
    """
    head = _read_head(file)
    _check_digest(file)
    if head["format"] == _UNENCRYPTED:
        check_records(file, None)
    return head


def check_records(file: BinaryIO, vault: Vault | None) -> None:
    """Decrypt and check all records of a file that `check` has accepted. Raises BackupError."""
    try:
        for record in records(file, vault):
            _check_values(record)
    except (ValueError, struct.error):
        raise BackupError(
            "cams-relay can't read this backup: its checksum is correct, but its content is malformed"
        ) from None


def _read_head(file: BinaryIO) -> dict[str, Any]:
    try:
        head = orjson.loads(file.readline(_LONGEST_HEAD))
    except orjson.JSONDecodeError:
        head = None
    if not (
        isinstance(head, dict)
        and head.get("format") in (FORMAT, _UNENCRYPTED)
        and isinstance(head.get("key_id"), str)
        and type(head.get("shards")) is int
        and 1 <= head["shards"] <= MOST_SHARDS
    ):
        raise BackupError("this is not a backup that this version of cams-relay can read")
    return head


def _check_digest(file: BinaryIO) -> None:
    file.seek(0)
    digest, left = hashlib.sha256(), os.fstat(file.fileno()).st_size - _DIGEST
    while left > 0 and (data := file.read(min(1 << 20, left))):
        digest.update(data)
        left -= len(data)
    if file.read(_DIGEST + 1) != digest.digest():
        raise BackupError("the backup is damaged or incomplete: its checksum doesn't match")


def records(file: BinaryIO, vault: Vault | None) -> Iterator[Record]:
    """Read all records of a backup. Raises ValueError and struct.error for a file that the checks would refuse.

    `vault` may only be None if they aren't encrypted.
    """
    file.seek(0)
    line = file.readline(_LONGEST_HEAD)
    head = orjson.loads(line)
    left = os.fstat(file.fileno()).st_size - _DIGEST - len(line)  # decrypted, it is less
    source: BinaryIO | EncryptedReader = file
    if head["format"] != _UNENCRYPTED:
        assert vault is not None
        source = EncryptedReader(file, left, vault, line)

    def read(length: int) -> bytes:
        nonlocal left
        if length > left:
            raise ValueError("a length is larger than the file")
        left -= length
        return source.read(length)

    def number() -> int:
        (found,) = LENGTH.unpack(read(LENGTH.size))
        return int(found)

    while count := number():
        if count * LENGTH.size > left:
            raise ValueError("a count is larger than the file")
        key, kind, expires, *values = [read(number()) for _ in range(count)]
        yield Record(key, kind, int(expires), values)


def write_record(write: Callable[[bytes], object], record: Record) -> None:
    """Write a record in the form that `records` reads."""
    parts = (record.key, record.kind, str(record.expires).encode(), *record.values)
    write(LENGTH.pack(len(parts)))
    for part in parts:
        write(LENGTH.pack(len(part)))
        write(part)


def _check_values(record: Record) -> None:
    """Raise ValueError if the values don't fit the command of the record's type."""
    if not 0 <= record.expires <= _LATEST or not record.values:
        raise ValueError("a record is empty, or its expiry time is invalid")
    if record.kind == b"stream":
        _check_stream(record.values)
    elif record.kind not in _VALUES_EACH or len(record.values) % _VALUES_EACH[record.kind]:
        raise ValueError("a record has an unknown type or an incomplete value")
    if record.kind == b"string" and len(record.values) > 1:
        raise ValueError("a string has several values")
    if record.kind == b"zset":
        for score in record.values[::2]:
            float(score)


def _check_stream(values: list[bytes]) -> None:
    if len(values) == 1:
        return
    at = 0
    while at < len(values):
        fields = int(values[at + 1]) if at + 1 < len(values) else 0
        if fields < 2 or fields % 2:
            raise ValueError("a stream entry has an incomplete field")
        at += 2 + fields
    if at != len(values):
        raise ValueError("a stream entry is incomplete")
