"""Counts and copies a device's parked callbacks, before an operator discards them on purpose."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from app.base.vault import Vault
from app.store.spool import records
from app.store.spool.items import Sealer, Spooled
from app.store.spool.records import Progress
from app.store.spool.spool import Spool

_TRIES = 5  # a web process may be moving parked callbacks from one file to another


class Parked(NamedTuple):
    """The parked callbacks of a device on this machine: digest → time of receipt in seconds since 1970."""

    received: dict[bytes, float]

    @property
    def oldest(self) -> float:
        return min(self.received.values())

    @property
    def newest(self) -> float:
        return max(self.received.values())


class Moving(Exception):
    """The parked callbacks changed while they were read."""


def parked_of(spool: Spool, device_id: str) -> Parked:
    """Return a device's parked callbacks."""
    return Parked({_digest(item): item.received_at for item in _items(spool, device_id)})


def waiting_of(spool: Spool, device_id: str) -> int:
    """Return how many callbacks of a device wait in the queue."""
    return sum(item.device_id == device_id for item in spool.listed(".spool"))


def save(spool: Spool, vault: Vault, device_id: str, path: Path) -> Parked:
    """Copy a device's parked callbacks to a new file, encrypted as in the spool; return them.

    If the file is put into the spool's folder with the ending `.parked`, they are stored once the device is
    registered. Raises OSError, FileExistsError if the file exists, and Moving.
    """
    sealer = Sealer(vault)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for _ in range(_TRIES):
            before, copied = parked_of(spool, device_id), dict[bytes, float]()
            file.seek(0)
            file.truncate()
            file.write(records.header(Progress()))
            for item in _items(spool, device_id):
                if _digest(item) not in copied:
                    copied[_digest(item)] = item.received_at
                    file.write(sealer.record(item))
            if copied == before.received:
                file.flush()
                os.fsync(file.fileno())
                return before
    path.unlink()
    raise Moving(device_id)


def _items(spool: Spool, device_id: str) -> Iterator[Spooled]:
    return (item for item in spool.listed(".parked") if item.device_id == device_id)


def _digest(item: Spooled) -> bytes:
    return sha256(b"%.6f " % item.received_at + item.body).digest()
