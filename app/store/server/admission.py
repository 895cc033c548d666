"""Checks whether a store may be used with these settings: complete, with this secret key, and with enough shards.

After an interrupted restore, data is missing. With another key, devices' tokens aren't recognised, and genuine
callbacks would be refused. With fewer shards, data in the others would not be delivered. From outside, all of these
look healthy. Therefore, the relay doesn't start with such a store, and accepts no callbacks.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import orjson
import redis

from app.base.store_errors import is_wrong_type
from app.base.throttle import OnceAMinute
from app.base.vault import FORMER_KEYS, Vault
from app.settings.table import MOST_SHARDS, Settings, is_short_key
from app.store.server.admission_repairs import repair_devices, text_of
from app.store.server.connection import Connection, is_shard_number
from app.store.server.damage import left_out
from app.store.server.keys import (
    API_KEYS,
    DEVICES,
    EMPLOYEES,
    KEY_ID,
    REKEYED,
    RESTORING,
    SHARDS,
    SIGNING_KEYS,
    SUBSCRIPTIONS,
    VAULT,
    Shard,
)
from app.store.server.repairs import note_repair

log = logging.getLogger("relay.store")

_KEY_ID = re.compile(r"[0-9a-f]{16}")
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
        self._check_former_keys()
        repair_devices(self._connection)
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

    def _check_former_keys(self) -> None:
        """Refuse a store whose former keys can't be read: without them, no AuthToken would be recognised.

        A process that was admitted has read them already.
        """
        if self.admitted:
            return
        stored: bytes | None = None
        try:
            stored = self._connection.redis.get(VAULT)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            stored = b"-"
        vault = self._connection.vault
        if not stored or vault.age_that_opens(FORMER_KEYS, stored) is not None:
            return
        if text_of(self._connection, KEY_ID) not in vault.key_ids:
            return  # a wrong key, which is reported as such
        raise StoreRefused(
            f"The secret key is right, but the value of {VAULT} in the store is damaged. The relay needs it to "
            "recognise AuthTokens and API keys from before the last change of the secret key. Restore a backup. If the "
            "secret key of this store was never changed, delete that value instead. If `cams-relay rekey` is running, "
            "start this process with the same RELAY_SECRET_KEY and RELAY_SECRET_KEY_OLD."
        )

    def _check_key(self) -> None:
        client, vault = self._connection.redis, self._connection.vault
        stored = text_of(self._connection, KEY_ID)
        if stored is None:
            client.set(KEY_ID, self._key_in_use(), nx=True)
            stored = text_of(self._connection, KEY_ID)
        if stored is None or stored in vault.key_ids:
            return
        if not _KEY_ID.fullmatch(stored) or self._is_right_key():
            client.set(KEY_ID, self._key_in_use())
            note_repair(self._connection, KEY_ID)
            return
        if not self._is_empty():
            raise StoreRefused(self._wrong_key())
        client.set(KEY_ID, self._key_in_use())  # another key was used before there was any data

    def _is_right_key(self) -> bool:
        """Return whether our key decrypts everything that was encrypted, so that the ID must be damaged."""
        vault, opened = self._connection.vault, 0
        for purpose, sealed, context in islice(self._sealed(), _LOOKED_AT):
            if vault.age_that_opens(purpose, sealed, context) is None:
                return False
            opened += 1
        return opened > 0

    def _key_in_use(self) -> str:
        """Return the ID of the key that encrypts an unmarked store; our key's ID if nothing is encrypted."""
        vault, failed = self._connection.vault, 0
        rekeyed = text_of(self._connection, REKEYED)
        if rekeyed and rekeyed in vault.key_ids:
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
        with left_out(VAULT):
            if former := client.get(VAULT):
                yield FORMER_KEYS, former, ""
        with left_out(SIGNING_KEYS):
            if signing_keys := client.get(SIGNING_KEYS):
                yield "signing-keys", signing_keys, ""
        with left_out(DEVICES):
            for device_id, number in client.hscan_iter(DEVICES):
                name, value = device_id.decode(errors="replace"), None
                with left_out(f"device {name}"):
                    value = client.hget(self._connection.shard_from(name, number).device(name), "secrets")
                if value:
                    yield "device", value, name
        with left_out(SUBSCRIPTIONS):
            for name, record in client.hscan_iter(SUBSCRIPTIONS):
                sealed = None
                with left_out(f"subscription {name.decode(errors='replace')}"):
                    sealed = base64.b64decode(orjson.loads(record)["sealed"])
                if sealed is not None:
                    yield "subscription", sealed, name.decode(errors="replace")
        with left_out(EMPLOYEES):
            for name, value in client.hscan_iter(EMPLOYEES):
                yield "employee", value, name.decode(errors="replace")

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
        if not key:
            return False
        vault = Vault(key)
        return vault.key_id == text_of(self._connection, KEY_ID) or any(
            vault.age_that_opens(*one) is not None for one in islice(self._sealed(), 1)
        )

    def _is_empty(self) -> bool:
        """Return whether the store has no data that depends on the key or on the shards."""
        things = (DEVICES, SUBSCRIPTIONS, EMPLOYEES, API_KEYS, SIGNING_KEYS, VAULT)
        return not any(map(self._connection.redis.exists, things)) and not self._shards_in_use()

    # Shards

    def _check_shards(self) -> None:
        client, count = self._connection.redis, self._connection.settings.shards
        stored = text_of(self._connection, SHARDS)
        used = 0 if stored is not None and stored.isdigit() else self._shards_in_use()
        if stored is not None and not stored.isdigit():
            client.set(SHARDS, used)
            note_repair(self._connection, SHARDS)
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
        used: set[int] = set()
        with left_out(DEVICES):
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
