"""Encrypts the content of a backup's file, which contains names and punches.

The content is divided into chunks, and each is encrypted with RELAY_SECRET_KEY. A chunk's context contains a digest of
the file's first line, which has a random ID, and the chunk's number. So nobody without the key can change the first
line, exchange chunks, or take one from another backup.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO

from app.base.vault import Vault

LENGTH = struct.Struct(">Q")
_PURPOSE = "backup"
_CHUNK = 1 << 20  # bytes


class EncryptedWriter:
    """Writes chunks, each as its length and its encrypted bytes."""

    def __init__(self, write: Callable[[bytes], object], vault: Vault, first_line: bytes) -> None:
        self._write, self._vault, self._first_line = write, vault, first_line
        self._plain = bytearray()
        self._number = 0

    def write(self, data: bytes) -> None:
        """Add bytes, which are written with the next chunk."""
        self._plain += data
        if len(self._plain) >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write what has been added as a chunk."""
        sealed = self._vault.seal(_PURPOSE, bytes(self._plain), _context(self._first_line, self._number))
        self._write(LENGTH.pack(len(sealed)))
        self._write(sealed)
        self._plain.clear()
        self._number += 1


class EncryptedReader:
    """Reads what an EncryptedWriter has written to a file."""

    def __init__(self, file: BinaryIO, left: int, vault: Vault, first_line: bytes) -> None:
        """`left` is the number of bytes of the file that are chunks."""
        self._file, self._left, self._vault, self._first_line = file, left, vault, first_line
        self._plain = BytesIO()
        self._number = 0

    def read(self, length: int) -> bytes:
        """Return this many bytes. Raises ValueError if there are fewer, or if they can't be decrypted."""
        parts = [self._plain.read(length)]
        missing = length - len(parts[0])
        while missing:
            self._plain = BytesIO(self._next())
            parts.append(self._plain.read(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _next(self) -> bytes:
        self._left -= LENGTH.size
        if self._left < 0:
            raise ValueError("the chunks end too early")
        (length,) = LENGTH.unpack(self._file.read(LENGTH.size))
        self._left -= length
        if self._left < 0:
            raise ValueError("a chunk is larger than the file")
        plain = self._vault.open(_PURPOSE, self._file.read(length), _context(self._first_line, self._number))
        self._number += 1
        return plain


def _context(first_line: bytes, number: int) -> str:
    return f"{hashlib.sha256(first_line).hexdigest()}:{number}"
