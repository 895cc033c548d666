"""The registered devices: their records, secrets, and how a callback's device is found.

A process keeps what it has read. That is safe, for the ingest script refuses an outdated version of a record; and
it is what lets a callback be checked and spooled while the store is away. So that it knows of what other processes
registered, too, every change is told in a stream, which `keep_up` follows.
"""

from __future__ import annotations

import hmac
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import redis

from app.gateway.cipher import SecurityKey
from app.store.connection import Connection, StoreAway, is_away
from app.store.keys import DEVICE_CHANGES, DEVICES, Shard, token

ATTENDANCE_ONLY_MODES = ("hybrid_db", "hybrid_file")
MODES = ("native", "hybrid_sdk", *ATTENDANCE_ONLY_MODES)
_CHANGES_KEPT = 1_000
_COUNTERS = ("callbacks", "events", "duplicates", "unrecognised", "clock_suspect")


class DeviceExists(Exception):
    """A device with this id is registered already."""


class Person(NamedTuple):
    """What is known of a user; the list of employees goes before what the device calls them."""

    name: str | None
    employee_id: str | None


@dataclass(slots=True)
class Device:
    """A registered device as a process knows it."""

    id: str
    shard: Shard
    version: str
    record: dict[str, Any]
    auth_token: str = field(repr=False)
    keys: list[SecurityKey]  # the present one, then the one before
    people_version: str = "0"
    people: dict[str, Person] = field(default_factory=dict)  # users, as far as asked for

    @property
    def timezone(self) -> tzinfo:
        return ZoneInfo(self.record["timezone"])


class Devices:
    """What is kept of devices."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._put = connection.script("device_write")
        self._known: dict[str, Device] = {}
        self._by_token: dict[str, list[str]] = {}
        self._all_loaded = False
        self._newest_change: list[bytes] | None = None  # none or one that was read; None: nothing was yet

    # Registration

    def register(self, record: dict[str, Any], secrets: dict[str, str | None]) -> dict[str, Any]:
        """Registers a device; `record` is its public part. Raises DeviceExists."""
        connection, device_id = self._connection, record["device_id"]
        shard = connection.new_shard_for(device_id)
        record = {**record, "created_at": datetime.now(UTC).isoformat(timespec="seconds")}
        if not connection.redis.hsetnx(DEVICES, device_id, shard.number):
            shard = connection.shard_of(device_id) or shard
            if connection.redis.hexists(shard.device(device_id), "record"):
                raise DeviceExists(device_id)
            self._clear(shard, device_id)  # its registration or removal was broken off
        # Not 1: a device registered anew must not have the version of the one before, which processes remember.
        if not self._write(shard, device_id, (b"", b""), record, secrets, version=random.getrandbits(48)):
            raise DeviceExists(device_id)
        self._add_token(device_id, secrets["auth_token"])
        self._announce(device_id)
        return record

    def change(self, device_id: str, record: dict[str, Any], secrets: dict[str, str | None]) -> Device | None:
        """Changes fields of the record and of the secrets; the former security key stays valid for reading.

        Of changes made at once none is lost. None if the device isn't registered, or is removed meanwhile.
        """
        connection = self._connection
        while (shard := connection.shard_of(device_id)) is not None:
            stored = connection.redis.hmget(shard.device(device_id), "record", "secrets")
            if None in stored:
                break
            kept = orjson.loads(connection.vault.open("device", stored[1], device_id))
            merged = kept | secrets
            if merged["security_key"] != kept["security_key"]:
                merged["previous_security_key"] = kept["security_key"]
            is_new_token = merged["auth_token"] != kept["auth_token"]
            if is_new_token:
                self._add_token(device_id, merged["auth_token"])
            if self._write(shard, device_id, stored, orjson.loads(stored[0]) | record, merged):
                if is_new_token:
                    self._remove_token(device_id, kept["auth_token"])
                self._announce(device_id)
                return self.refresh(device_id)
            connection.forget_shard_of(device_id)  # it may have been registered anew
        if secrets.get("auth_token"):
            self._remove_token(device_id, secrets["auth_token"])
        self._forget(device_id)
        return None

    def remove(self, device_id: str) -> bool:
        """Removes a device with its users and their credentials; its events stay until they are too old.

        Where it is broken off the id stays taken, so that it can be called again, or the device registered anew.
        """
        device, shard = self.refresh(device_id), self._connection.shard_of(device_id)
        if shard is None:
            return False
        if device is not None:
            self._remove_token(device_id, device.auth_token)
        self._clear(shard, device_id)
        client = self._connection.redis
        if not client.hexists(shard.device(device_id), "record"):  # nobody has registered it anew
            client.hdel(DEVICES, device_id)
        self._announce(device_id)
        self._forget(device_id)
        return True

    def _clear(self, shard: Shard, device_id: str) -> None:
        """Removes all that is kept of a device but where it is: itself first, so that nothing is added."""
        client = self._connection.redis
        client.delete(shard.device(device_id))
        users = client.zrange(shard.users(device_id), 0, -1)
        for start in range(0, len(users), 500):
            client.delete(*(shard.user(device_id, user.decode()) for user in users[start : start + 500]))
        client.delete(shard.users(device_id), shard.commanded(device_id), shard.strangers(device_id))
        client.hdel(shard.silent, device_id)
        client.hdel(shard.attendance_latest, device_id)

    def _remove_token(self, device_id: str, auth_token: str | None) -> None:
        self._connection.redis.srem(token(self._digest(auth_token)), device_id)

    def _add_token(self, device_id: str, auth_token: str | None) -> None:
        """Makes the device found by its token; other devices with the same one count as changed by that.

        For a process that knows only them would take the new device's callbacks for theirs.
        """
        client, name = self._connection.redis, token(self._digest(auth_token))
        client.sadd(name, device_id)
        for other in client.smembers(name) - {device_id.encode()}:
            shard = self._connection.shard_of(other.decode())
            if shard is not None and client.hexists(shard.device(other.decode()), "record"):
                client.hincrby(shard.device(other.decode()), "v", 1)

    def _announce(self, device_id: str) -> None:
        """Tells the other processes, once all of a change is written."""
        self._connection.redis.xadd(
            DEVICE_CHANGES, {"device": device_id}, maxlen=_CHANGES_KEPT, approximate=False
        )

    def _write(
        self,
        shard: Shard,
        device_id: str,
        stored: Sequence[bytes],
        record: dict[str, Any],
        secrets: dict[str, str | None],
        *,
        version: int | str = "",
    ) -> bool:
        """Puts them in the place of what was read; False where that has been changed meanwhile."""
        sealed = self._connection.vault.seal("device", orjson.dumps(secrets), device_id)
        arguments = [*stored, orjson.dumps(record), sealed, version]
        return bool(self._put(keys=[shard.device(device_id)], args=arguments))

    # Reading

    def ids(self) -> list[str]:
        """The ids of all devices, sorted."""
        return sorted(device_id.decode() for device_id in self._connection.redis.hkeys(DEVICES))

    def get(self, device_id: str) -> Device | None:
        """A device, as last read."""
        return self._known.get(device_id) or self.refresh(device_id)

    def refresh(self, device_id: str) -> Device | None:
        """A device, read anew; None if it isn't registered."""
        shard = self._connection.shard_of(device_id)
        if shard is None:
            self._known.pop(device_id, None)
            return None
        fields = self._connection.redis.hmget(shard.device(device_id), "record", "secrets", "v", "n")
        return self._remember(device_id, shard, fields)

    def _remember(self, device_id: str, shard: Shard, fields: list[bytes | None]) -> Device | None:
        record, sealed, version, people = fields
        if record is None or sealed is None or version is None:
            self._known.pop(device_id, None)
            return None
        secrets = orjson.loads(self._connection.vault.open("device", sealed, device_id))
        keys = [secrets.get("security_key"), secrets.get("previous_security_key")]
        device = Device(
            id=device_id,
            shard=shard,
            version=version.decode(),
            record=orjson.loads(record),
            auth_token=secrets["auth_token"],
            # A key that was removed is not read with: plain text is expected then.
            keys=[SecurityKey(key) for key in keys if key] if keys[0] else [],
            people_version=(people or b"0").decode(),
        )
        self._known[device_id] = device
        return device

    def forget_people(self) -> None:
        """Has every process ask anew who the users of devices are."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        for device_id, number in self._connection.redis.hgetall(DEVICES).items():
            pipeline.hincrby(Shard(int(number)).device(device_id.decode()), "n", 1)
        pipeline.execute()

    def timezones(self, device_ids: Iterable[str]) -> dict[str, str]:
        """The time zones of devices as they are now; without those that are not registered."""
        wanted = [(device_id, self._connection.shard_of(device_id)) for device_id in device_ids]
        placed = [(device_id, shard) for device_id, shard in wanted if shard is not None]
        pipeline = self._connection.redis.pipeline(transaction=False)
        for device_id, shard in placed:
            pipeline.hget(shard.device(device_id), "record")
        records = pipeline.execute() if placed else []
        return {
            device_id: orjson.loads(record)["timezone"]
            for (device_id, _), record in zip(placed, records, strict=True)
            if record is not None
        }

    def status(self, device_id: str) -> dict[str, Any]:
        """When it was last seen, since when it is silent (ISO 8601, UTC; null where it isn't), and its counters."""
        shard = self._connection.shard_of(device_id)
        if shard is None:
            return {}
        pipeline = self._connection.redis.pipeline(transaction=False)
        pipeline.hmget(shard.device(device_id), "last_seen", *_COUNTERS)
        pipeline.hget(shard.silent, device_id)
        values, silent = pipeline.execute()
        return {
            "last_seen_at": _seconds(values[0]),
            "silent_since": _seconds(silent),
            **{name: int(value or 0) for name, value in zip(_COUNTERS, values[1:], strict=True)},
        }

    def last_seen(self, device_id: str) -> int | None:
        """When its last callback came, in ms since 1970."""
        shard = self._connection.shard_of(device_id)
        seen = None if shard is None else self._connection.redis.hget(shard.device(device_id), "last_seen")
        return int(seen) if seen else None

    def load_all(self) -> None:
        """Reads all devices, so that callbacks can be checked while the store is away."""
        before = list(self._known)
        shards = {
            device_id.decode(): Shard(int(number))
            for device_id, number in self._connection.redis.hgetall(DEVICES).items()
        }
        self._load(shards)
        for device_id in before:
            if device_id not in shards:
                self._forget(device_id)
        self._all_loaded = True

    def keep_up(self) -> None:
        """Reads what any process has registered, changed or removed since the last time; at first, all devices.

        One call that finds nothing, as a rule: it may be made every moment, however many devices there are.
        """
        entries = self._connection.redis.xrange(DEVICE_CHANGES, *(self._newest_change or [b"-"]))
        changes = [change for change, _ in entries]
        if changes[:1] == self._newest_change:
            self._load_changed({fields[b"device"].decode() for _, fields in entries[1:]})
        else:  # more has changed than the stream keeps, or the store was replaced
            self.load_all()
        self._newest_change = changes[-1:]

    def _load_changed(self, device_ids: set[str]) -> None:
        names = list(device_ids)
        if not names:
            return
        numbers = self._connection.redis.hmget(DEVICES, names)
        for device_id in names:  # it may have been registered anew, elsewhere
            self._connection.forget_shard_of(device_id)
        placed = dict(zip(names, numbers, strict=True))
        self._load({name: Shard(int(number)) for name, number in placed.items() if number is not None})
        for device_id, number in placed.items():
            if number is None:
                self._forget(device_id)

    def _load(self, shards: dict[str, Shard]) -> None:
        pipeline = self._connection.redis.pipeline(transaction=False)
        for device_id, shard in shards.items():
            pipeline.hmget(shard.device(device_id), "record", "secrets", "v", "n")
        for (device_id, shard), fields in zip(shards.items(), pipeline.execute(), strict=True):
            device = self._remember(device_id, shard, fields)
            if device is not None:
                digest = self._digest(device.auth_token)
                if device_id not in self._by_token.setdefault(digest, []):
                    self._by_token[digest].append(device_id)

    def _forget(self, device_id: str) -> None:
        self._connection.forget_shard_of(device_id)
        self._known.pop(device_id, None)

    # Whose callback is it?

    def by_token(self, auth_token: str, *, anew: bool = False) -> list[Device]:
        """The devices with this AuthToken, as known here or read anew: one, as a rule; none for a wrong token.

        Raises StoreAway when none is known here and the store can't be asked.
        """
        digest = self._digest(auth_token)
        found = self._with_token(self._by_token.get(digest, []), auth_token)
        if found and not anew:
            return found
        try:
            ids = [device_id.decode() for device_id in self._connection.redis.smembers(token(digest))]
            for device_id in ids:
                self.refresh(device_id)
        except redis.RedisError as error:
            if is_away(error) and found:
                return found
            if is_away(error):
                raise StoreAway(str(error)) from error
            raise
        if ids:
            self._by_token[digest] = ids
        return self._with_token(ids, auth_token)

    def _with_token(self, ids: list[str], auth_token: str) -> list[Device]:
        devices = (self._known.get(device_id) for device_id in ids)
        offered = auth_token.encode("utf-8", "surrogatepass")
        return [
            device
            for device in devices
            if device is not None and hmac.compare_digest(device.auth_token.encode(), offered)
        ]

    def with_keys(self) -> list[Device]:
        """All devices that have a security key, read anew where the store can be reached."""
        try:
            self.load_all()
        except redis.RedisError as error:
            if not is_away(error):
                raise
            if not self._all_loaded:
                raise StoreAway(str(error)) from error
        return [device for device in self._known.values() if device.keys]

    def known_with_keys(self) -> list[Device]:
        """Those of them that this process knows already."""
        return [device for device in self._known.values() if device.keys]

    def _digest(self, auth_token: str | None) -> str:
        return self._connection.vault.digest("token", auth_token or "")


def _seconds(ms: bytes | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(ms) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ms else None
