"""Repairs the damage of a full disk in the store's append-only file: zeros between two records.

The server reverts an incomplete write, but if a rewrite created the file, it then continues at the former position,
and the space between is a hole. It refuses to start with such a file, although no data is lost.
"""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

_ZEROS = re.compile(rb"\0+")
_AT_ONCE = 1 << 20  # bytes


def close_holes(folder: Path) -> int:
    """Remove the zeros between records from all files in `folder`; return how many bytes they were.

    A file with any other damage isn't changed.
    """
    return sum(_close_holes(path) for path in sorted(folder.glob("*.incr.aof")) if path.stat().st_size)


def _close_holes(path: Path) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        holes = _holes(data)
        if not holes:
            return 0
        repaired = path.with_name(f"temp-{path.name}")
        with repaired.open("wb") as copy:
            begin = 0
            for start, end in [*holes, (len(data), len(data))]:
                for at in range(begin, start, _AT_ONCE):
                    copy.write(data[at : min(at + _AT_ONCE, start)])
                begin = end
            copy.flush()
            os.fsync(copy.fileno())
    os.replace(repaired, path)
    return sum(end - start for start, end in holes)


def _holes(data: mmap.mmap) -> list[tuple[int, int]]:
    """Return the places with zeros instead of a record; none if anything else is wrong."""
    found: list[tuple[int, int]] = []
    at = 0
    try:
        while at < len(data):
            zeros = _ZEROS.match(data, at)
            if zeros is not None:
                found.append(zeros.span())
                at = zeros.end()
            else:
                at = _after_record(data, at)
    except ValueError:
        return []
    return found


def _after_record(data: mmap.mmap, at: int) -> int:
    """Return the end of the record that begins here: `#` and a line, or an array of strings. Raises ValueError.

    The server itself removes an incomplete record at the end of the file.
    """
    count, at = _line(data, at)
    if count[:1] in (b"#", b""):
        return at
    if count[:1] != b"*":
        raise ValueError("no record begins here")
    for _ in range(int(count[1:])):
        size, at = _line(data, at)
        if size[:1] not in (b"$", b""):
            raise ValueError("no string begins here")
        at += int(size[1:] or 0) + 2
    return at


def _line(data: mmap.mmap, at: int) -> tuple[bytes, int]:
    end = data.find(b"\n", at)
    if end < 0:
        return b"", len(data)  # incomplete
    return data[at : min(end, at + 32)].rstrip(b"\r"), end + 1
