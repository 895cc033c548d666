"""The incomplete file to which a backup is written before it gets its name.

Its name can't be guessed, so nobody can put a link or another file there. The process that writes it locks it. If it
isn't locked, its process was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_SUFFIX = re.compile(r"(\.[0-9a-f]{16})?\.partial", re.ASCII)  # an earlier version's had no digits
_ABANDONED_SECONDS = 86_400.0  # after which a copy that can't be locked isn't being written any more
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def partial_copy(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Create a file beside `path` that only we may read. It is removed unless the block renames it."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):  # some network file systems can't
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file, partial
    finally:
        partial.unlink(missing_ok=True)


def is_partial_of(name: str, backup_name: str) -> bool:
    """Return whether a file's name is that of an incomplete backup."""
    return name.startswith(backup_name) and _SUFFIX.fullmatch(name, len(backup_name)) is not None


def remove_abandoned(partial: Path, now: float | None = None) -> bool:
    """Remove a file if it is our incomplete backup that no process writes; return whether it was. Raises OSError."""
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EACCES, errno.EPERM):
            return False  # gone, or not a file of ours
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            age = (time.time() if now is None else now) - found.st_mtime
            if error.errno in _BUSY or age < _ABANDONED_SECONDS:
                return False
        partial.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)
