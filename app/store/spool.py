"""Keeps callbacks on disk while the store is away, sealed and fsynced, and brings them in when it is back.

Each process appends to a segment file of its own; what a dead process left is taken over by another one, told by
the lock on the file. A record is a length and sealed bytes, so a torn last record is noticed and left: it was
never acknowledged. A segment is removed once all of it is in the store, and set aside as `.unreadable` where some
of it can't be decrypted; replaying one twice does no harm, for the store tells duplicates.

Failure policy: an append that fails means 503, and the gateway keeps the callback.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app.vault import SealError, Vault

log = logging.getLogger("relay.spool")

_HEADER = struct.Struct(">I")


class SpoolFull(Exception):
    """The disk can't take it."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A callback as it waits: whose it is, when it came, where to, and its decrypted body."""

    device_id: str
    received_at: float  # seconds since 1970
    base_url: str
    body: bytes


class Spool:
    """The spool of one process, and what dead ones left."""

    def __init__(self, folder: Path, vault: Vault, sync: Callable[[int], Any] = os.fsync) -> None:
        """`sync` flushes a file to the disk; a web worker passes one that lets other requests run meanwhile."""
        self._folder = folder
        self._vault = vault
        self._sync = sync
        self._file: int | None = None
        self._path: Path | None = None
        self._lock = threading.Lock()
        self._appended = 0
        self._synced = 0
        self._syncing = False
        self._turn = threading.Condition(self._lock)
        self._reached: dict[
            Path, int
        ] = {}  # bytes of a segment that are in the store, when it went away again
        self._unreadable: set[Path] = set()

    @property
    def waiting(self) -> bool:
        """Whether this process has callbacks on disk: then later ones queue up behind them."""
        return self._file is not None

    def size(self) -> int:
        """Bytes on disk, of all processes."""
        total = 0
        with suppress(OSError):
            for path in self._folder.glob("*.spool"):
                with suppress(OSError):
                    total += path.stat().st_size
        return total

    def writable(self) -> bool:
        """Whether the disk takes a file just now."""
        probe = self._folder / f".probe-{secrets.token_hex(4)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe.write_bytes(b"1")
            probe.unlink()
        except OSError:
            return False
        return True

    def append(self, item: Spooled) -> None:
        """Returns once the callback is on the disk. Raises SpoolFull.

        Appends that come while a sync runs share the next one.
        """
        plain = orjson.dumps([item.device_id, item.received_at, item.base_url]) + b"\n" + item.body
        sealed = self._vault.seal("spool", plain)
        with self._turn:
            try:
                self._write(_HEADER.pack(len(sealed)) + sealed)
            except OSError as error:
                raise SpoolFull(f"the spool can't be written: {error.strerror}") from error
            self._appended += 1
            mine = self._appended
            while self._synced < mine:
                if self._syncing:
                    self._turn.wait()
                    continue
                self._sync_once()

    def _sync_once(self) -> None:
        """Syncs what is written so far, without the lock, for all who wait."""
        self._syncing = True
        upto, descriptor = self._appended, self._file
        assert descriptor is not None
        self._turn.release()
        try:
            self._sync(descriptor)
        except OSError as error:
            raise SpoolFull(f"the spool can't be synced: {error.strerror}") from error
        finally:
            self._turn.acquire()
            self._syncing = False
            self._turn.notify_all()
        self._synced = max(self._synced, upto)

    def _write(self, record: bytes) -> None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._create()
        assert self._file is not None
        start = os.lseek(self._file, 0, os.SEEK_END)
        written = 0
        try:
            while written < len(record):
                written += os.write(self._file, record[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, start)  # no torn record in front of later ones
            raise

    def _create(self) -> None:
        """A segment of our own. It gets its name once it is locked, so that nobody takes it for a dead process's."""
        path = self._folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.spool"
        unnamed = path.with_suffix(".new")
        descriptor = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(path)
            self._sync_folder()
        except OSError:
            os.close(descriptor)
            for left in (unnamed, path):
                left.unlink(missing_ok=True)
            raise
        self._path, self._file = path, descriptor

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    # Bringing them in

    def replay(self, store: Callable[[Spooled], None]) -> int:
        """Hands every waiting callback of this and of dead processes to `store`, oldest first; how many.

        `store` raises to stop; then nothing is lost and the next replay begins there again.
        """
        count = 0
        for path in self._claimable():
            count += self._replay_left_over(path, store)
        if self._path is not None:
            count += self._replay_own(store)
        return count

    def _claimable(self) -> list[Path]:
        with suppress(OSError):
            return sorted(path for path in self._folder.glob("*.spool") if path != self._path)
        return []

    def _replay_left_over(self, path: Path, store: Callable[[Spooled], None]) -> int:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return 0  # another process was faster
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(descriptor).st_nlink:
                return 0  # another process has just brought it in
            with os.fdopen(os.dup(descriptor), "rb") as file:
                count = self._store_all(path, file, store)
            self._remove(path)
            return count
        except BlockingIOError:
            return 0  # its process lives
        finally:
            os.close(descriptor)

    def _replay_own(self, store: Callable[[Spooled], None]) -> int:
        """Until nothing is left; only then may callbacks go to the store directly again."""
        assert self._path is not None
        count = 0
        with self._path.open("rb") as file:
            while True:
                count += self._store_all(self._path, file, store)
                with self._turn:
                    assert self._file is not None
                    if not self._syncing and file.tell() == os.fstat(self._file).st_size:
                        os.close(self._file)
                        self._remove(self._path)
                        self._path = self._file = None
                        self._synced = self._appended  # who still waits for a sync is in the store already
                        self._turn.notify_all()
                        return count
                time.sleep(0.005)

    def _store_all(self, path: Path, file: Any, store: Callable[[Spooled], None]) -> int:
        """Stores what is left of a segment; when that is interrupted, the next time goes on from there."""
        count = 0
        file.seek(self._reached.get(path, 0))
        for item in self._records(path, file):
            store(item)
            self._reached[path] = file.tell()
            count += 1
        return count

    def _remove(self, path: Path) -> None:
        self._reached.pop(path, None)
        if path in self._unreadable:
            self._unreadable.discard(path)
            path.rename(path.with_suffix(".unreadable"))
        else:
            path.unlink()

    def _records(self, path: Path, file: Any) -> Iterator[Spooled]:
        while True:
            start = file.tell()
            header = file.read(_HEADER.size)
            length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else 0
            sealed = file.read(length) if length else b""
            if not length or len(sealed) < length:
                file.seek(start)
                return
            try:
                plain = self._vault.open("spool", sealed)
            except SealError:
                if path not in self._unreadable:
                    log.error(
                        "a spooled callback can't be decrypted (was RELAY_SECRET_KEY changed?); "
                        "%s is kept as .unreadable",
                        path,
                    )
                    self._unreadable.add(path)
                continue
            head, _, body = plain.partition(b"\n")
            device_id, received_at, base_url = orjson.loads(head)
            yield Spooled(device_id, received_at, base_url, body)


# A change of the secret key


def seal_spool_anew(folder: Path, vault: Vault) -> tuple[int, int, int]:
    """Seals under the present key what processes that are gone have left, also what they could not read.

    Answers how many callbacks were, how many segments are being written just now, and how many neither key opens.
    """
    done = busy = lost = 0
    for path in sorted([*folder.glob("*.spool"), *folder.glob("*.unreadable")]):
        with suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                busy += 1
                continue
            anew, count, unread = _sealed_anew(file.read(), vault)
            done, lost = done + count, lost + unread
            if count or (path.suffix == ".unreadable" and not unread):
                fresh = path.with_suffix(".rekeyed")
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as written:
                    written.write(anew)
                    written.flush()
                    os.fsync(written.fileno())
                fresh.rename(path if unread else path.with_suffix(".spool"))
                if path.suffix == ".unreadable" and not unread:
                    path.unlink()
    return done, busy, lost


def _sealed_anew(data: bytes, vault: Vault) -> tuple[bytes, int, int]:
    """A segment's records under the present key, how many were sealed anew, and how many can't be opened."""
    anew, count, unread, at = b"", 0, 0, 0
    while len(data) >= at + _HEADER.size:
        (length,) = _HEADER.unpack_from(data, at)
        sealed = data[at + _HEADER.size : at + _HEADER.size + length]
        if not length or len(sealed) < length:
            break  # torn: it was never acknowledged
        at += _HEADER.size + length
        try:
            fresh = vault.seal_anew("spool", sealed)
            count += fresh is not None
        except SealError:
            fresh, unread = None, unread + 1
        record = fresh or sealed
        anew += _HEADER.pack(len(record)) + record
    return anew, count, unread
