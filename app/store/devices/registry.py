"""Registers, changes and removes devices. `cache` reads them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import redis

from app.base.vault import SealError
from app.events.flatten import received_iso
from app.store.devices import record as device_record
from app.store.devices.cache import KnownDevices
from app.store.devices.former import FormerDevices
from app.store.devices.record import Device, Person, Secrets, Unreadable
from app.store.devices.simulated import SimulatedDevices
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import DEVICE_CHANGES, DEVICES, Shard, token

__all__ = [
    "ATTENDANCE_ONLY_MODES",
    "DIRECTIONS",
    "MODES",
    "Device",
    "DeviceExists",
    "Devices",
    "Person",
    "Unreadable",
]

ATTENDANCE_ONLY_MODES = ("hybrid_db", "hybrid_file")
MODES = ("native", "hybrid_sdk", *ATTENDANCE_ONLY_MODES)
DIRECTIONS = ("by_type", "in", "out")
_CHANGES_KEPT = 1_000


class DeviceExists(Exception):
    """A device with this ID is already registered."""


# Called with a device's stored record and decrypted secrets before a change is written; raises to refuse the change.
Check = Callable[[dict[str, Any], Secrets], None]
# The same, with the version of the stored data.
CheckVersion = Callable[[str], None]


class Devices(KnownDevices):
    """The stored devices."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.former = FormerDevices(connection)
        self.simulated = SimulatedDevices(connection)
        self._put = connection.script("device_write")

    # Registration

    def register(self, record: dict[str, Any], secrets: Secrets) -> dict[str, Any]:
        """Register a device; `record` is its public part, with `simulated` if it is one. Raises DeviceExists."""
        connection, device_id = self._connection, record["device_id"]
        shard = connection.new_shard_for(device_id)
        record, simulated = _without_mark(record)
        record = {**record, "created_at": received_iso(datetime.now(UTC))}
        if not connection.redis.hsetnx(DEVICES, device_id, shard.number):
            shard = connection.shard_of(device_id) or shard
            if connection.redis.hexists(shard.device(device_id), "record"):
                raise DeviceExists(device_id)
            self._removals.erase(shard, device_id)  # its registration or removal was interrupted
        # Not 1: a device registered again must not have the same version as the previous one, which processes
        # remember.
        if not self._write(shard, device_id, (b"", b""), record, secrets, version=random.getrandbits(48)):
            raise DeviceExists(device_id)
        self.simulated.mark(device_id, bool(simulated))
        self._add_token(device_id, secrets["auth_token"])
        self._removals.clear(device_id)
        self._announce(device_id)
        return record

    def change(
        self,
        device_id: str,
        record: dict[str, Any],
        secrets: Secrets,
        check: Check = lambda *_: None,
        check_version: CheckVersion = lambda _: None,
    ) -> Device | None:
        """Change fields of the record and of the secrets (see `changed_secrets`).

        Simultaneous changes aren't lost. Returns None if the device isn't registered, or is removed meanwhile. If
        `check` or `check_version` raises, nothing is changed.
        """

        record, simulated = _without_mark(record)

        def how(stored: dict[str, Any], kept: Secrets) -> tuple[dict[str, Any], Secrets]:
            check(stored, kept)
            changed = device_record.changed_secrets(kept, secrets)
            required = record.get("require_callback_secret")
            if required and not stored.get("require_callback_secret"):
                changed = device_record.with_callback_secret(changed)
            elif required is False:
                changed = device_record.without_callback_secret(changed)
            return stored | record, changed

        device = self._change(device_id, how, secrets.get("auth_token"), check_version)
        if device is not None and simulated is not None:
            self.simulated.mark(device_id, simulated)
        return device

    def rotate_callback_secret(self, device_id: str) -> Device | None:
        """Create a new callback secret. The previous one stays valid for OVERLAP_SECONDS. None if not registered."""
        return self._change(
            device_id, lambda stored, kept: (stored, device_record.with_callback_secret(kept))
        )

    def date_former_keys(self) -> int:
        """Set a date for previous Security Keys that an earlier version saved without one; return how many."""
        dated = 0
        for device_id in self.ids():
            found = None
            with left_out(f"device {device_id}"):
                found = self.refresh(device_id)
            if found is None or found.former_key is None or found.former_key_until is not None:
                continue
            self._change(
                device_id, lambda stored, kept: (stored, device_record.dated_former_key(kept) or kept)
            )
            dated += 1
        return dated

    def _change(
        self,
        device_id: str,
        how: Callable[[dict[str, Any], Secrets], tuple[dict[str, Any], Secrets]],
        new_token: str | None = None,
        check_version: CheckVersion = lambda _: None,
    ) -> Device | None:
        """Write the record and secrets that `how` returns. It is called again if another change comes between."""
        connection = self._connection
        while (shard := connection.shard_of(device_id)) is not None:
            *stored, version = connection.redis.hmget(shard.device(device_id), "record", "secrets", "v")
            if None in stored:
                break
            kept = orjson.loads(connection.vault.open("device", stored[1], device_id))
            try:
                check_version((version or b"").decode())
                record, merged = how(orjson.loads(stored[0]), kept)
            except Exception:
                if new_token and new_token != kept["auth_token"]:
                    self._remove_token(device_id, new_token)  # added before another change
                raise
            is_new_token = merged["auth_token"] != kept["auth_token"]
            if is_new_token:
                self._add_token(device_id, merged["auth_token"])
            if self._write(shard, device_id, stored, record, merged):
                if is_new_token:
                    self._remove_token(device_id, kept["auth_token"])
                self._announce(device_id)
                return self.refresh(device_id)
            connection.forget_shard_of(device_id)  # it may be registered again in another shard
        if new_token:
            self._remove_token(device_id, new_token)
        self._find_gone([device_id])
        return None

    def remove(self, device_id: str) -> bool:
        """Remove a device with its users and their credentials. Its events stay until they are too old.

        If this is interrupted, the ID stays taken, so it can be called again, or the device registered again.
        """
        device: Device | None = None
        with suppress(
            SealError, ValueError, redis.ResponseError
        ):  # a damaged record must not prevent a removal
            device = self.refresh(device_id)
        shard = self._connection.shard_of(device_id)
        if shard is None:
            return False
        client = self._connection.redis
        self._removals.note(device_id)
        if device is not None:
            self.former.note(device)
            self._remove_token(device_id, device.auth_token)
        self._removals.erase(shard, device_id)
        if not client.hexists(shard.device(device_id), "record"):  # nobody has registered it again meanwhile
            client.hdel(DEVICES, device_id)
        self._announce(device_id)
        self._find_gone([device_id])
        return True

    def discard_callbacks(self, device_id: str, until: float) -> bool:
        """Have the spools drop the callbacks of an unregistered device up to then (seconds since 1970).

        If it is registered, nothing is done, and the result is False: its callbacks can still be stored.
        """
        if self._connection.redis.hexists(DEVICES, device_id):
            return False
        self._removals.note(device_id, until)
        self._announce(device_id)
        return True

    def _remove_token(self, device_id: str, auth_token: str | None) -> None:
        self._connection.redis.srem(token(self._digest(auth_token)), device_id)

    def _add_token(self, device_id: str, auth_token: str | None) -> None:
        """Add the device to its token. Other devices with the same token then count as changed.

        Otherwise, a process that only knows those would mistake the new device's callbacks for theirs.
        """
        client, name = self._connection.redis, token(self._digest(auth_token))
        client.sadd(name, device_id)
        for other in client.smembers(name) - {device_id.encode()}:
            shard = self._connection.shard_of(other.decode())
            if shard is not None and client.hexists(shard.device(other.decode()), "record"):
                client.hincrby(shard.device(other.decode()), "v", 1)

    def _announce(self, device_id: str) -> None:
        """Notify the other processes, once a change is completely written."""
        self._connection.redis.xadd(
            DEVICE_CHANGES, {"device": device_id}, maxlen=_CHANGES_KEPT, approximate=False
        )

    def _write(
        self,
        shard: Shard,
        device_id: str,
        stored: Sequence[bytes],
        record: dict[str, Any],
        secrets: Secrets,
        *,
        version: int | str = "",
    ) -> bool:
        """Replace what was read; False if it has been changed meanwhile."""
        sealed = self._connection.vault.seal("device", orjson.dumps(secrets), device_id)
        arguments = [*stored, orjson.dumps(record), sealed, version]
        return bool(self._put(keys=[shard.device(device_id)], args=arguments))


def _without_mark(record: dict[str, Any]) -> tuple[dict[str, Any], bool | None]:
    """Split `simulated` from a record, because it is stored elsewhere; None if the record hasn't got it."""
    return {name: value for name, value in record.items() if name != "simulated"}, record.get("simulated")
