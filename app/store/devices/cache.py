"""A process's copy of the registered devices, in which it finds the device of a callback.

A process keeps what it has read. This is safe, because the ingest script refuses an outdated version of a record. It
is also necessary, so that callbacks can be authenticated and spooled while the store is away. Every change is added to
a stream, which `keep_up` reads, so that each process also knows the changes of others.
"""

from __future__ import annotations

import hmac
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import redis

from app.base.vault import SealError
from app.base.yielding import in_turns
from app.store.devices import record as device_record
from app.store.devices.record import Device, Unreadable
from app.store.devices.removals import Removals
from app.store.devices.status import DeviceStatus
from app.store.server.connection import Connection, StoreAway, is_away
from app.store.server.keys import DEVICE_CHANGES, DEVICES, Shard, token
from app.store.server.pipelines import asked

log = logging.getLogger("relay.devices")

_CATCH_UP_SECONDS = 1.0


class KnownDevices(DeviceStatus):
    """The devices that this process knows."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._removals = Removals(connection)
        self._known: dict[str, Device] = {}
        self._by_token: dict[str, list[str]] = {}
        self._vanished: set[str] = set()  # known here, missing in the store, and not removed on purpose
        self.unreadable: dict[str, str] = {}  # device → why its stored data can't be read
        self.changes_seen = 0  # increases with every new or changed device
        self.keys_version = 0  # increases when the Security Keys known here change
        self._keeping_up = threading.Lock()
        self._caught_up_at = (
            self._failed_at
        ) = -math.inf  # when catching up last began, and when it failed (time.monotonic)
        self._newest_change: list[bytes] | None = None  # None before the first read

    def removed_at(self, device_id: str) -> float | None:
        """Return when a device was removed on purpose, in seconds since 1970; None if it wasn't."""
        return self._removals.of([device_id])[0]

    # Reading

    @property
    def knows_any(self) -> bool:
        """Return whether this process can authenticate any device's callbacks without the store."""
        return bool(self._known)

    def known(self, device_id: str) -> Device | None:
        """Return a device, if this process already knows it."""
        return self._known.get(device_id)

    def get(self, device_id: str) -> Device | None:
        """Return a device as last read. Raises what `refresh` raises."""
        known = None if device_id in self._vanished else self._known.get(device_id)
        return known or self.refresh(device_id)

    def refresh(self, device_id: str) -> Device | None:
        """Read a device again; None if it isn't registered. Raises SealError, ValueError and redis errors.

        The process only forgets a device if it was removed on purpose: see `vanished`.
        """
        shard = self._connection.shard_of(device_id)
        device = None
        if shard is not None:
            fields = self._connection.redis.hmget(shard.device(device_id), "record", "secrets", "v", "n")
            device = self._remember(device_id, shard, fields)
        if device is None:
            self._find_gone([device_id])
        return device

    def unregistered(self, device_ids: Sequence[str]) -> list[str]:
        """Return which of these aren't registered. A device whose data can't be read is. Raises redis errors."""
        if not device_ids:
            return []
        found = self._connection.redis.hmget(DEVICES, device_ids)
        return [device_id for device_id, shard in zip(device_ids, found, strict=True) if shard is None]

    def vanished(self, device_id: str) -> bool:
        """Return whether the store has lost a device that is known here and that nobody removed."""
        return device_id in self._vanished

    def _remember(self, device_id: str, shard: Shard, fields: list[bytes | None]) -> Device | None:
        record, sealed, version, people = fields
        if record is None or sealed is None or version is None:
            return None
        secrets = orjson.loads(self._connection.vault.open("device", sealed, device_id))
        device = device_record.device_of(
            device_id, shard, version.decode(), (people or b"0").decode(), orjson.loads(record), secrets
        )
        before = self._known.get(device_id)
        if before is None or before.version != device.version or device_id in self._vanished:
            self.changes_seen += 1
        self._known[device_id] = device
        self._vanished.discard(device_id)
        self.unreadable.pop(device_id, None)
        if _blocks(before) != _blocks(device):
            self.keys_version += 1
        return device

    def _drop(self, device_id: str) -> None:
        if _blocks(self._known.pop(device_id, None)):
            self.keys_version += 1

    def load_all(self) -> None:
        """Read all devices, so that callbacks can be authenticated while the store is away; see also `unreadable`."""
        before = list(self._known)
        shards = self._connection.shards_of_devices()
        self._load(shards)
        self._find_gone([device_id for device_id in before if device_id not in shards])

    def keep_up(self) -> None:
        """Read the devices that any process has registered, changed or removed since the last time; at first, all.

        It is usually a single call that finds nothing, so it can be made often, however many devices there are.
        """
        with self._keeping_up:
            self._keep_up()

    def catch_up(self, since: float) -> None:
        """Return once all changes up to `since` (time.monotonic) are known here.

        The store is read only once a second, however many requests wait. Raises StoreAway if it can't be read.
        """
        while self._caught_up_at < since:
            with self._keeping_up:
                if self._caught_up_at >= since:
                    return
                now = time.monotonic()
                if now - self._failed_at < _CATCH_UP_SECONDS:
                    raise StoreAway("it could not be reached a moment ago")
                wait = self._caught_up_at + _CATCH_UP_SECONDS - now
                if wait <= 0:
                    self._try_to_keep_up()
            time.sleep(max(0.0, wait))

    def _try_to_keep_up(self) -> None:
        try:
            self._keep_up()
        except redis.RedisError as error:
            if not is_away(error):
                raise
            self._failed_at = time.monotonic()
            raise StoreAway(str(error)) from error

    def _keep_up(self) -> None:
        began = time.monotonic()
        entries = self._connection.redis.xrange(DEVICE_CHANGES, *(self._newest_change or [b"-"]))
        changes = [change for change, _ in entries]
        if changes[:1] == self._newest_change:
            self._load_changed({fields[b"device"].decode() for _, fields in entries[1:]})
        else:  # more has changed than is in the stream, or the store was replaced
            self.load_all()
        self._newest_change = changes[-1:]
        self._caught_up_at = began

    def _load_changed(self, device_ids: set[str]) -> None:
        names = list(device_ids)
        if not names:
            return
        numbers = self._connection.redis.hmget(DEVICES, names)
        for device_id in names:  # it may have been registered again, in another shard
            self._connection.forget_shard_of(device_id)
        placed = dict(zip(names, numbers, strict=True))
        shards = self._connection.shard_from
        self._load({name: shards(name, number) for name, number in placed.items() if number is not None})
        self._find_gone([device_id for device_id, number in placed.items() if number is None])

    def _load(self, shards: dict[str, Shard]) -> None:
        def call(pipeline: Any, place: tuple[str, Shard]) -> None:
            pipeline.hmget(place[1].device(place[0]), "record", "secrets", "v", "n")

        gone = []
        answers = asked(self._connection.redis, shards.items(), call, raise_on_error=False)
        for (device_id, shard), answer in in_turns(answers):
            with self._one_by_one(device_id):
                if isinstance(answer, Exception):
                    raise answer
                device = self._remember(device_id, shard, answer)
                if device is None:
                    gone.append(device_id)
                    continue
                digest = self._digest(device.auth_token)
                if device_id not in self._by_token.setdefault(digest, []):
                    self._by_token[digest].append(device_id)
        self._find_gone(gone)

    @contextmanager
    def _one_by_one(self, device_id: str) -> Iterator[None]:
        """Read devices one by one, so that damage to one doesn't affect others. Raises if the store is away."""
        try:
            yield
        except (redis.ResponseError, SealError, ValueError, KeyError, TypeError) as error:
            if is_away(error):
                raise
            if device_id not in self.unreadable:
                log.error("the stored data of device %s can't be read: %s", device_id, type(error).__name__)
            self.unreadable[device_id] = type(error).__name__

    def _find_gone(self, device_ids: list[str]) -> None:
        """Forget the devices missing in the store that were removed on purpose."""
        for device_id, at in zip(device_ids, self._removals.of(device_ids), strict=True):
            self._connection.forget_shard_of(device_id)
            self.unreadable.pop(device_id, None)
            if at is not None:
                self._drop(device_id)
                self._vanished.discard(device_id)
            elif device_id in self._known and device_id not in self._vanished:
                self._vanished.add(device_id)
                log.warning("device %s is no longer in the store, but nobody removed it", device_id)

    # Finding a callback's device

    def known_by_token(self, auth_token: str) -> list[Device]:
        """Return the devices with this AuthToken that this process already knows."""
        return self._with_token(self._by_token.get(self._digest(auth_token), []), auth_token)

    def by_token(self, auth_token: str, *, anew: bool = False) -> list[Device]:
        """Return the devices with this AuthToken, known here or read again: usually one; none for a wrong token.

        Raises StoreAway if none is known here and the store can't be read, and Unreadable.
        """
        digest = self._digest(auth_token)
        found = self._with_token(self._by_token.get(digest, []), auth_token)
        if found and not anew:
            return found
        try:
            ids = [device_id.decode() for device_id in self._connection.redis.smembers(token(digest))]
            for device_id in ids:
                with self._one_by_one(device_id):
                    self.refresh(device_id)
        except redis.RedisError as error:
            if is_away(error) and found:
                return found
            if is_away(error):
                raise StoreAway(str(error)) from error
            raise
        if ids:
            self._by_token[digest] = ids
        else:
            ids = [device_id for device_id in self._by_token.get(digest, []) if self.vanished(device_id)]
        found = self._with_token(ids, auth_token)
        if not found and self.unreadable.keys() & set(ids):
            raise Unreadable(f"the stored data of device {ids[0]} can't be read")
        return found

    def _with_token(self, ids: list[str], auth_token: str) -> list[Device]:
        devices = (self._known.get(device_id) for device_id in ids)
        offered = auth_token.encode("utf-8", "surrogatepass")
        return [
            device
            for device in devices
            if device is not None and hmac.compare_digest(device.auth_token.encode(), offered)
        ]

    def known_with_keys(self) -> list[Device]:
        """Return the devices with a Security Key that this process already knows."""
        return [device for device in self._known.values() if device.keys]

    def _digest(self, auth_token: str | None) -> str:
        return self._connection.vault.digest("token", auth_token or "")


def _blocks(device: Device | None) -> list[tuple[bytes, ...]]:
    """Return what distinguishes a device's keys from others."""
    return [key.usual_first_blocks for key in device.keys] if device is not None else []
