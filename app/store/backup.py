"""A copy of all that is kept in the store, and its way back into an empty one, of whatever kind and version.

The file: one line of JSON that says what it is, then records, then a SHA-256 of all before. A record is a count and so
many parts, each a length and bytes: the key, its type, when it expires (ms since 1970, 0 never), and values as the
type's command takes them. A large key has several. A record of no parts ends it.

Keys are copied while the relay runs, the queues first and the events last, so that nothing is queued in the copy that
isn't among its events. What is only of the moment (leases, the words to workers, sessions) stays out.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from app import __version__
from app.events.flatten import received_iso
from app.store.connection import Connection

_FORMAT = "cams-relay backup 2"
_LENGTH = struct.Struct(">Q")
_KEYS_AT_ONCE = 100
_PARTS_AT_ONCE = 1_000
_ENTRIES_AT_ONCE = 500
_DIGEST = 32
_OF_THE_MOMENT = (
    "lease",
    "wake",
    "commands:wake",
    "workers",
    "chores",
    "listening",
    "sampled",
    "upkeep",
    "rewritten",
    "rewriting",
    "rewriting:events",
)
_EACH_OF_THE_MOMENT = ("failed:", "session:")
# By type: how it is read whole, and the command that its values are given to.
_READ: dict[bytes, tuple[str, tuple[Any, ...]]] = {
    b"string": ("get", ()),
    b"hash": ("hgetall", ()),
    b"set": ("smembers", ()),
    b"zset": ("zrange", (0, -1)),
    b"list": ("lrange", (0, -1)),
}
_WRITE = {b"string": "SET", b"hash": "HSET", b"set": "SADD", b"zset": "ZADD", b"list": "RPUSH"}


class BackupError(Exception):
    """A file that is no whole backup, or a store that is not empty."""


class _Record(NamedTuple):
    """What is kept under a key, or a part of it. Of a stream: `id`, how many fields, then those; or its last id."""

    key: bytes
    kind: bytes
    expires: int
    values: list[bytes]


def _left_out(key: bytes) -> bool:
    rest = key.decode(errors="replace").partition(":")[2]
    return not key.startswith(b"{") or rest in _OF_THE_MOMENT or rest.startswith(_EACH_OF_THE_MOMENT)


def _rank(key: bytes) -> int:
    """In which order keys are copied: what refers to others before them."""
    rest = key.partition(b":")[2]
    if rest == b"fanout":
        return 0
    if rest.startswith(b"sub:"):
        return 1
    return 3 if rest == b"events" else 2


# Out


def backup(connection: Connection, path: Path) -> int:
    """Writes a backup that only we may read; how many keys it has. The file appears once it is whole."""
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            count = _copy(connection, file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return count


def _copy(connection: Connection, file: BinaryIO) -> int:
    client, vault = connection.redis, connection.vault
    keys = sorted({key for key in client.scan_iter(count=1_000) if not _left_out(key)}, key=_rank)
    copied, digest = set(), hashlib.sha256()

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
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        for record in _read(client, keys[start : start + _KEYS_AT_ONCE]):
            parts = (record.key, record.kind, str(record.expires).encode(), *record.values)
            write(_LENGTH.pack(len(parts)))
            for part in parts:
                write(_LENGTH.pack(len(part)))
                write(part)
            copied.add(record.key)
    write(_LENGTH.pack(0))
    file.write(digest.digest())
    return len(copied)


def _read(client: Any, keys: list[bytes]) -> Iterator[_Record]:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
        pipeline.pttl(key)
    answers, now = pipeline.execute(), int(time.time() * 1000)
    for key, kind, left in zip(keys, answers[::2], answers[1::2], strict=True):
        expires = now + left if left > 0 else 0
        if kind == b"stream":
            yield from _read_stream(client, key, expires)
        elif kind in _READ:  # `none`: it has gone meanwhile
            yield from _read_whole(client, key, kind, expires)


def _read_whole(client: Any, key: bytes, kind: bytes, expires: int) -> Iterator[_Record]:
    command, arguments = _READ[kind]
    more = {"withscores": True} if kind == b"zset" else {}
    found: Any = getattr(client, command)(key, *arguments, **more)
    if kind == b"string":
        values = [] if found is None else [found]
    elif kind == b"hash":
        values = [part for pair in found.items() for part in pair]
    elif kind == b"zset":
        values = [part for member, score in found for part in (repr(score).encode(), member)]
    else:
        values = list(found)
    for start in range(0, len(values), _PARTS_AT_ONCE):
        yield _Record(key, kind, expires, values[start : start + _PARTS_AT_ONCE])


def _read_stream(client: Any, key: bytes, expires: int) -> Iterator[_Record]:
    after = "-"
    # Before the entries: what comes meanwhile has ids of its own.
    last = client.xinfo_stream(key)["last-generated-id"]
    while rows := client.xrange(key, after, "+", count=_ENTRIES_AT_ONCE):
        values: list[bytes] = []
        for entry, fields in rows:
            parts = [part for pair in fields.items() for part in pair]
            values += (entry, str(len(parts)).encode(), *parts)
        yield _Record(key, b"stream", expires, values)
        after = f"({rows[-1][0].decode()}"
        last = max(last, rows[-1][0], key=_order)
    yield _Record(key, b"stream", expires, [last])


def _order(entry: bytes) -> tuple[int, int]:
    ms, _, sequence = entry.partition(b"-")
    return int(ms), int(sequence)


# Back


def restore(connection: Connection, path: Path) -> int:
    """Puts a backup into an empty store; how many keys. Raises BackupError, before anything is written.

    The devices' queues and the streams continue where the copy ended: ids that were given out are not given out again.
    What would have expired since the backup was made stays away.
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
        restored, now = set(), int(time.time() * 1000)
        for record in _records(file):
            if not record.expires or record.expires > now:
                _write(client, record)
                restored.add(record.key)
    return len(restored)


def _write(client: Any, record: _Record) -> None:
    pipeline = client.pipeline(transaction=False)
    if record.kind == b"stream":
        _write_stream(pipeline, record)
    else:
        pipeline.execute_command(_WRITE[record.kind], record.key, *record.values)
    if record.expires:
        pipeline.pexpireat(record.key, record.expires)
    pipeline.execute()


def _write_stream(pipeline: Any, record: _Record) -> None:
    values = iter(record.values)
    if len(record.values) == 1:
        (last,) = values
        if last != b"0-0":
            # Also of a stream that has no entry left.
            pipeline.execute_command("XGROUP", "CREATE", record.key, "-", "0", "MKSTREAM")
            pipeline.execute_command("XGROUP", "DESTROY", record.key, "-")
            pipeline.execute_command("XSETID", record.key, last)
        return
    for entry in values:
        fields = [next(values) for _ in range(int(next(values)))]
        pipeline.execute_command("XADD", record.key, entry, *fields)


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


def _records(file: BinaryIO) -> Iterator[_Record]:
    def number() -> int:
        (read,) = _LENGTH.unpack(file.read(_LENGTH.size))
        return int(read)

    while count := number():
        key, kind, expires, *values = [file.read(number()) for _ in range(count)]
        yield _Record(key, kind, int(expires), values)
