"""Holes in the store's append-only file are removed, and the rest isn't changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.store.server.aof import close_holes

SELECT = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$7\r\n\r\n\0\0\0*1\r\n"  # with zeros that belong to it
NOTE = b"#TS:1795631957\r\n"


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (SELECT + bytes(496) + SET + SET, SELECT + SET + SET),
        (SELECT + bytes(3) + NOTE + SET + bytes(1) + SET, SELECT + NOTE + SET + SET),
        # The server itself handles incomplete commands at the end.
        (SELECT + bytes(9) + SET + SET[:-9], SELECT + SET + SET[:-9]),
        (SELECT + bytes(9) + SET + SET[:9], SELECT + SET + SET[:9]),
        (SELECT + SET, SELECT + SET),
        (SELECT + b"garbage\n" + bytes(9) + SET, SELECT + b"garbage\n" + bytes(9) + SET),
        (b"", b""),
    ],
)
def test_holes_are_removed(tmp_path: Path, written: bytes, left: bytes) -> None:
    path = tmp_path / "appendonly.aof.2.incr.aof"
    path.write_bytes(written)
    assert close_holes(tmp_path) == len(written) - len(left)
    assert path.read_bytes() == left
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
