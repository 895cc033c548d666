"""Spooled callbacks, their encryption into records, and the error if the store doesn't accept one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import orjson

from app.base.vault import SealError, Vault
from app.store.spool import records
from app.store.spool.records import Record


@dataclass(frozen=True, slots=True)
class Spooled:
    """A waiting callback: its device, when and to which URL it came, and its decrypted body."""

    device_id: str
    received_at: float  # seconds since 1970
    base_url: str
    body: bytes
    reason: str = ""  # why it is parked


class Unstorable(Exception):
    """The store is there and doesn't accept a callback. The message says why."""

    def __init__(self, reason: str, *, try_again: bool = True) -> None:
        """`try_again`: whether another try right now may succeed."""
        super().__init__(reason)
        self.try_again = try_again


@dataclass(frozen=True, slots=True)
class Summary:
    """The content of the folder, from all processes. Times are in seconds since 1970; None if there is nothing."""

    waiting: int
    oldest_waiting: float | None
    parked: int
    oldest_parked: float | None
    damaged: tuple[str, ...]  # names of files
    unreadable: tuple[str, ...]


class Sealer:
    """Encrypts callbacks for the disk."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._digests: dict[str, bytes] = {}

    def record(self, item: Spooled) -> bytes:
        """Return an encrypted record."""
        head = [item.device_id, item.received_at, item.base_url, item.reason]
        sealed = self._vault.seal("spool", orjson.dumps(head) + b"\n" + item.body)
        return self.framed(item, sealed)

    def framed(self, item: Spooled, sealed: bytes) -> bytes:
        """Return a record with content that is already encrypted."""
        return records.record(sealed, int(item.received_at * 1e6), self.digest(item.device_id))

    def item(self, record: Record) -> Spooled | None:
        """Return the callback in a record; None if it can't be decrypted, or is from a later version."""
        try:
            head, _, body = self._vault.open("spool", record.sealed).partition(b"\n")
            device_id, received_at, base_url, *reason = orjson.loads(head)
            return Spooled(device_id, float(received_at), base_url, body, *reason)
        except (SealError, ValueError, TypeError):
            return None

    def opens(self, sealed: bytes) -> bool:
        """Return whether it can be decrypted."""
        with suppress(SealError):
            self._vault.open("spool", sealed)
            return True
        return False

    def digest(self, device_id: str) -> bytes:
        """Return the keyed digest of a device's ID, as in the heads of its records."""
        found = self._digests.get(device_id)
        if found is None:
            text = self._vault.digest("spool device", device_id)
            found = self._digests[device_id] = bytes.fromhex(text)[: records.DEVICE_BYTES]
        return found


def oldest(times: Iterator[float | None]) -> float | None:
    """Return the earliest of some times of receipt; None if there is none."""
    return min((time for time in times if time is not None), default=None)
