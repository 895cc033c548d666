"""The format of the spool's files, without I/O. Records can be found again after damage.

A file begins with a header of 64 bytes (see `Progress`), followed by records. A record consists of a head of 48 bytes
and the encrypted callback:

    8 marker   4 length of what is sealed   8 time of receipt, µs since 1970   8 keyed digest of the device's id
    4 CRC-32 of these 28 bytes   16 BLAKE2b of these 28 bytes and of what is sealed

So a reader can go from head to head without reading the encrypted content. If a record is invalid, the next one is
searched for by its marker, so only damaged records are lost. An incomplete last record was never acknowledged and
doesn't count as damage.

Versions up to 0.1 wrote a length of 4 bytes and sealed bytes, record after record, without a header. To those versions
the header here looks like a record that can't be decrypted, so that they set the file aside instead of removing it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import NamedTuple

MARKER = b"\xc5\x9dCRrec\n"
DEVICE_BYTES = 8

_HEAD_START = struct.Struct(">8sIQ8s")
_HEAD_END = struct.Struct(">I16s")
HEAD = _HEAD_START.size + _HEAD_END.size

_MAGIC = struct.pack(">I", 60) + b"cams-relay spool 2\n\0"
_PROGRESS = struct.Struct(">QQB")
_CRC = struct.Struct(">I")
HEADER = 64

_OLD_HEAD = struct.Struct(">I")
_OLD_LARGEST_SEARCHED = 1 << 20
_CHUNK = 1 << 16

Read = Callable[[int, int], bytes]
"""(offset, count) → bytes, fewer than `count` only at the end of the file"""


class Head(NamedTuple):
    """The head of a record. `start` and `end` are the offsets of the whole record in its file."""

    start: int
    end: int
    received: int  # µs since 1970
    device: bytes  # keyed digest
    checksum: bytes


class Record(NamedTuple):
    """An encrypted callback in a file."""

    start: int
    end: int
    received: int  # µs since 1970; 0 in files of versions up to 0.1
    device: bytes  # keyed digest; empty in files of versions up to 0.1
    sealed: bytes


class Damage(NamedTuple):
    """Bytes of a file that belong to no valid record."""

    start: int
    end: int


class Progress(NamedTuple):
    """How much of a file is in the store. This is saved in its header, so that other processes know it, too."""

    reached: int = HEADER  # an offset: everything before it is in the store, or parked
    stored: int = 0  # the number of those records
    flags: int = 0


DAMAGED = 1
UNREADABLE = 2


# Writing


def record(sealed: bytes, received: int, device: bytes) -> bytes:
    """Return a record. `received` is in µs since 1970."""
    start = _HEAD_START.pack(MARKER, len(sealed), received, device)
    return start + _HEAD_END.pack(zlib.crc32(start), _checksum(start, sealed)) + sealed


def header(progress: Progress) -> bytes:
    """Return the header of a file."""
    packed = _PROGRESS.pack(*progress)
    return (_MAGIC + packed + _CRC.pack(zlib.crc32(packed))).ljust(HEADER, b"\0")


def _checksum(start: bytes, sealed: bytes) -> bytes:
    digest = blake2b(start, digest_size=16)
    digest.update(sealed)
    return digest.digest()


# Reading


def is_old(read: Read, size: int) -> bool:
    """Return whether a file is from a version up to 0.1. A damaged header isn't mistaken for that."""
    if size == 0 or read(0, len(_MAGIC)) == _MAGIC:
        return False
    return _next(read, 0, size, head_at) is None and not _MAGIC.startswith(read(0, len(_MAGIC)))


def progress_in(first: bytes) -> Progress:
    """Read a header; if it is damaged, return the beginning, because storing a callback twice does no harm."""
    packed = first[len(_MAGIC) : len(_MAGIC) + _PROGRESS.size]
    rest = first[len(_MAGIC) + _PROGRESS.size :]
    if len(rest) < _CRC.size or _CRC.unpack_from(rest)[0] != zlib.crc32(packed):
        return Progress()
    found = Progress(*_PROGRESS.unpack(packed))
    return found if found.reached >= HEADER else Progress()


def head_at(read: Read, at: int, size: int) -> Head | None:
    """Return the head at an offset; None if there is none, or if its record is incomplete."""
    head = _head(read(at, HEAD), at)
    return head if head is not None and head.end <= size else None


def _head(data: bytes, at: int) -> Head | None:
    if len(data) < HEAD or not data.startswith(MARKER):
        return None
    start = data[: _HEAD_START.size]
    crc, checksum = _HEAD_END.unpack_from(data, _HEAD_START.size)
    if crc != zlib.crc32(start):
        return None
    _, length, received, device = _HEAD_START.unpack(start)
    return Head(at, at + HEAD + length, received, device, checksum)


def record_at(read: Read, at: int, size: int) -> Record | None:
    """Return the record at an offset; None if there is no valid one."""
    head = head_at(read, at, size)
    if head is None:
        return None
    data = read(at, head.end - at)
    start, sealed = data[: _HEAD_START.size], data[HEAD:]
    if len(data) != head.end - at or _checksum(start, sealed) != head.checksum:
        return None
    return Record(at, head.end, head.received, head.device, sealed)


def records(read: Read, start: int, size: int) -> Iterator[Record | Damage]:
    """Yield all records from an offset, and the damage between them."""
    at = start
    while at < size:
        found = record_at(read, at, size)
        if found is None:
            following = _next(read, at + 1, size, record_at)
            if following is None and is_cut_off(read, at, size):
                return
            end = size if following is None else following
            yield Damage(at, end)
            at = end
            continue
        yield found
        at = found.end


def heads(read: Read, start: int, size: int) -> Iterator[Head]:
    """Yield all heads from an offset, without reading the encrypted content."""
    at: int | None = start
    while at is not None and at < size:
        found = head_at(read, at, size)
        if found is None:
            at = _next(read, at + 1, size, head_at)
            continue
        yield found
        at = found.end


def is_cut_off(read: Read, at: int, size: int) -> bool:
    """Return whether the last bytes are a record that was being written when its process or machine died."""
    data = read(at, HEAD)
    if len(data) < HEAD and (MARKER.startswith(data[: len(MARKER)]) or data.startswith(MARKER)):
        return True
    head = _head(data, at)
    if head is not None:
        return head.end > size
    return not any(any(read(chunk, _CHUNK)) for chunk in range(at, size, _CHUNK))


def _next(
    read: Read, at: int, size: int, verified: Callable[[Read, int, int], Head | Record | None]
) -> int | None:
    """Return the offset of the next marker with a valid head or record."""
    while at < size:
        data = read(at, _CHUNK + len(MARKER) - 1)
        found = data.find(MARKER)
        if found < 0:
            at += _CHUNK
        elif verified(read, at + found, size) is not None:
            return at + found
        else:
            at += found + 1
    return None


# Files of versions up to 0.1


def old_records(
    read: Read, start: int, size: int, opens: Callable[[bytes], bool]
) -> Iterator[Record | Damage]:
    """Yield all records of an old file from an offset, and the damage between them.

    There is no checksum. `opens` returns whether bytes can be decrypted. Bytes that can't be, but are in the place of
    a record, are yielded as a record, because they may be encrypted with another key.
    """
    at = start
    searched: tuple[int, int | None] = (-1, None)  # where the last search began, and its result
    while at < size:
        found = _old_at(read, at, size)
        if found is not None and opens(found.sealed):
            yield found
            at = found.end
            continue
        if at >= searched[0] >= 0 and (searched[1] is None or searched[1] > at):
            following = searched[1]
        else:
            following = _next_old(read, at + 1, size, opens)
            searched = (at, following)
        if found is not None and (following is None or found.end <= following):
            yield found
            at = found.end
        elif following is not None:
            yield Damage(at, following)
            at = following
        elif _old_is_cut_off(read, at, size):
            return
        else:
            yield Damage(at, size)
            return


def _old_at(read: Read, at: int, size: int) -> Record | None:
    head = read(at, _OLD_HEAD.size)
    length = _OLD_HEAD.unpack(head)[0] if len(head) == _OLD_HEAD.size else 0
    end = at + _OLD_HEAD.size + length
    if not length or end > size:
        return None
    return Record(at, end, 0, b"", read(at + _OLD_HEAD.size, length))


def _next_old(read: Read, at: int, size: int, opens: Callable[[bytes], bool]) -> int | None:
    """Return the offset of the next record that can be decrypted and isn't very large."""
    while at < size:
        data = read(at, _CHUNK)
        found = data.find(b"\0")
        if found < 0:
            at += len(data)
            continue
        at += found
        head = read(at, _OLD_HEAD.size)
        if len(head) < _OLD_HEAD.size:
            return None
        if 0 < _OLD_HEAD.unpack(head)[0] <= _OLD_LARGEST_SEARCHED:
            candidate = _old_at(read, at, size)
            if candidate is not None and opens(candidate.sealed):
                return at
        at += 1
    return None


def _old_is_cut_off(read: Read, at: int, size: int) -> bool:
    """Return whether the last bytes are the remains of a power loss, and not a record that may be damaged."""
    return size - at < _OLD_HEAD.size or not any(
        any(read(chunk, _CHUNK)) for chunk in range(at, size, _CHUNK)
    )
