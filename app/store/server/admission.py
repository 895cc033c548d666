"""Checks whether a store may be used with these settings: complete, with this secret key, and with enough shards.

After an interrupted restore, data is missing. With another key, devices' tokens aren't recognised, and genuine
callbacks would be refused. With fewer shards, data in the others would not be delivered. From outside, all of these
look healthy. Therefore, the relay doesn't start with such a store, and accepts no callbacks.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import orjson

from app.base.throttle import OnceAMinute
from app.base.vault import Vault
from app.settings.table import MOST_SHARDS, Settings, is_short_key
from app.store.server.connection import Connection, is_shard_number
from app.store.server.keys import (
    API_KEYS,
    DEVICES,
    EMPLOYEES,
    KEY_ID,
    REKEYED,
    RESTORING,
    SHARDS,
    SUBSCRIPTIONS,
    VAULT,
    Shard,
)

log = logging.getLogger("relay.store")

_EMPTY_BASE = 128  # bytes of an append-only file's base without keys
_LOOKED_AT = 1_000  # encrypted values
_SEALED_FILES = (".spool", ".parked", ".unreadable", ".damaged")


class StoreRefused(Exception):
    """The store must not be used with these settings. The message says what to do."""


class Admission:
    """The checks of a store, and their last result."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._largest = connection.script("shards")
        self._once = OnceAMinute()
        self.admitted = False
        self.problem: str | None = None

    def look(self) -> bool:
        """Check the store, and remember and return whether it may be used. Raises redis errors."""
        try:
            self.check()
        except StoreRefused as error:
            self.admitted, self.problem = False, str(error)
            if self._once.may_say():
                log.error("%s", error)
        else:
            self.admitted, self.problem = True, None
        return self.admitted

    def check(self) -> None:
        """Check the store, and mark a new one with the key and the shards. Raises StoreRefused and redis errors."""
        self._check_whole()
        self._check_key()
        self._check_shards()

    def _check_whole(self) -> None:
        # A restore didn't write a key of another type: doctor reports it.
        if self._connection.redis.type(RESTORING) != b"string":
            return
        settings = self._connection.settings
        empty = (
            "empty the store at REDIS_URL"
            if settings.redis_url
            else f"stop the relay, move the folder {settings.data_dir}/store away"
        )
        raise StoreRefused(
            "A backup is being restored into this store, or its restore was interrupted, so that data is missing. If "
            f"no restore is running: {empty}, and run `cams-relay restore` again."
        )

    # The key

    def _check_key(self) -> None:
        client, vault = self._connection.redis, self._connection.vault
        stored = client.get(KEY_ID)
        if stored is None:
            client.set(KEY_ID, self._key_in_use(), nx=True)
            stored = client.get(KEY_ID)
        if stored is None or stored.decode(errors="replace") in vault.key_ids:
            return
        if not self._is_empty():
            raise StoreRefused(self._wrong_key())
        client.set(KEY_ID, self._key_in_use())  # another key was used before there was any data

    def _key_in_use(self) -> str:
        """Return the ID of the key that encrypts an unmarked store; our key's ID if nothing is encrypted."""
        vault, failed = self._connection.vault, 0
        rekeyed = (self._connection.redis.get(REKEYED) or b"").decode(errors="replace")
        if rekeyed in vault.key_ids:
            return rekeyed
        for purpose, sealed, context in self._sealed():
            age = vault.age_that_opens(purpose, sealed, context)
            if age is not None:
                return vault.key_ids[age]
            failed += 1
            if failed == _LOOKED_AT:
                break
        if failed:
            raise StoreRefused(self._wrong_key())
        if is_short_key(self._connection.settings.secret_key):
            raise StoreRefused(
                "RELAY_SECRET_KEY is shorter than 32 characters. Use 32 random bytes, for example "
                "RELAY_SECRET_KEY=$(openssl rand -hex 32)"
            )
        return vault.key_ids[-1]  # while there are two, digests are also made with the older one

    def _sealed(self) -> Iterator[tuple[str, bytes, str]]:
        """Yield values that may be encrypted in the store: (purpose, value, context)."""
        client = self._connection.redis
        former = client.get(VAULT)
        if former:
            yield "former keys", former, ""
        for device_id, number in client.hscan_iter(DEVICES):
            name = device_id.decode()
            value = client.hget(self._connection.shard_from(name, number).device(name), "secrets")
            if value:
                yield "device", value, device_id.decode()
        for name, record in client.hscan_iter(SUBSCRIPTIONS):
            yield "subscription", base64.b64decode(orjson.loads(record)["sealed"]), name.decode()
        for name, value in client.hscan_iter(EMPLOYEES):
            yield "employee", value, name.decode()

    def _wrong_key(self) -> str:
        settings = self._connection.settings
        file = settings.data_dir / "secret_key"
        if settings.secret_key and self._fits(file):
            return (
                f"RELAY_SECRET_KEY is not the secret key that this store is encrypted with, but the key in {file} is. "
                "Unset RELAY_SECRET_KEY."
            )
        place = "RELAY_SECRET_KEY" if settings.secret_key else f"The key in {file}"
        instead = "" if settings.secret_key else ", or put the right file back"
        return (
            f"{place} is not the secret key that this store is encrypted with. Set RELAY_SECRET_KEY to the right key"
            f"{instead}. To change the key, start the relay with the new one as RELAY_SECRET_KEY and the previous one "
            "as RELAY_SECRET_KEY_OLD, and then run `cams-relay rekey`."
        )

    def _fits(self, file: Path) -> bool:
        """Return whether this file has the key that encrypts the store."""
        try:
            key = file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return False
        stored = (self._connection.redis.get(KEY_ID) or b"").decode(errors="replace")
        return bool(key) and Vault(key).key_id == stored

    def _is_empty(self) -> bool:
        """Return whether the store has no data that depends on the key or on the shards."""
        things = (DEVICES, SUBSCRIPTIONS, EMPLOYEES, API_KEYS, VAULT)
        return not any(map(self._connection.redis.exists, things)) and not self._shards_in_use()

    # Shards

    def _check_shards(self) -> None:
        client, count = self._connection.redis, self._connection.settings.shards
        stored = client.get(SHARDS)
        used = 0 if stored is not None and stored.isdigit() else self._shards_in_use()
        largest = int(self._largest(keys=[SHARDS], args=[max(count, used)]))
        if largest > count and self._is_empty():
            client.set(SHARDS, count)
        elif largest > count:
            raise StoreRefused(
                f"RELAY_SHARDS={count} is fewer than the {largest} shards that this store has been used with. Events "
                f"in the other shards would not be delivered. Set RELAY_SHARDS={largest} or more."
            )

    def _shards_in_use(self) -> int:
        """Return how many shards the store has been used with, according to its devices and events."""
        client = self._connection.redis
        used = {int(number) for number in client.hvals(DEVICES) if is_shard_number(number)}
        pipeline = client.pipeline(transaction=False)
        for number in range(MOST_SHARDS):
            pipeline.exists(Shard(number).events)
        used |= {number for number, there in enumerate(pipeline.execute()) if there}
        return max(used, default=-1) + 1


def find_secret_key(settings: Settings) -> str | None:
    """Return the secret key from the settings or the data folder; None if a new one may be created.

    Raises StoreRefused if it is missing or empty although the embedded store or the spool has data.
    """
    if settings.secret_key is not None:
        return settings.secret_key
    file = settings.data_dir / "secret_key"
    is_there = file.exists()
    key = file.read_text().strip() if is_there else ""
    if key:
        return key
    if holds_something(settings):
        lost = "is empty" if is_there else "is missing"
        raise StoreRefused(
            f"RELAY_SECRET_KEY is not set and {file} {lost}, but {settings.data_dir} holds data encrypted "
            "with that key. Put the file back, or set RELAY_SECRET_KEY to its content. To start again without that "
            f"data, move {settings.data_dir}/store and {settings.data_dir}/spool away."
        )
    return None


def holds_something(settings: Settings) -> bool:
    """Return whether the data folder has an embedded store or a spool with data in it."""
    folder = settings.data_dir / "store" / "appendonlydir"
    sizes = [(path.name, path.stat().st_size) for path in folder.glob("*.aof")]
    sizes += [(path.name, path.stat().st_size) for path in folder.glob("*.rdb")]
    if any(size > (_EMPTY_BASE if ".base." in name else 0) for name, size in sizes):
        return True
    spool = settings.data_dir / "spool"
    return any(path.stat().st_size for path in spool.rglob("*") if path.suffix in _SEALED_FILES)
