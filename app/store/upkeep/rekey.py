"""`cams-relay rekey`: encrypts data again with RELAY_SECRET_KEY that was encrypted with RELAY_SECRET_KEY_OLD.

It may run while the relay is running, once every process knows both keys. Each value only replaces the one that was
read, so a change made meanwhile wins, and is encrypted with the new key anyway. It may be interrupted and run again:
the key that decrypts a value shows whether the value is done.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.archive import Archive
from app.base.vault import SealError
from app.store.access.idempotency import sealed_part
from app.store.people.users import is_sealed
from app.store.server.connection import Connection
from app.store.server.keys import KEY_ID, REKEYED, VAULT
from app.store.spool.rekey import seal_spool_anew

_PASSES = 10
_BLOBS = {"pho": "photo", "bod": "body"}

# Encrypted data: (purpose, its name for people). `spool` is on disk, `extra` in streams (see app.base.vault).
PURPOSES = {
    "device": "devices",
    "user": "profiles and credentials",
    "photo": "photos",
    "body": "unrecognised bodies",
    "command": "commands under way",
    "subscription": "subscriptions",
    "employee": "employees",
    "correction": "corrections of punches",
    "signing-keys": "signing keys",
    "answer": "kept answers",
    "spool": "spooled callbacks",
    "archive": "keys of the archive",
    "extra": "",
}


@dataclass(slots=True)
class Rekeyed:
    """The result: how many of each were encrypted again, and how many neither key decrypts."""

    sealed: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    busy_segments: int = 0  # segments of the spool that another process is writing


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of an encrypted value, as it was read."""

    purpose: str
    key: bytes
    field: bytes  # empty for a string
    value: bytes
    context: str
    unwrap: Callable[[bytes], bytes] = bytes
    wrap: Callable[[bytes, bytes], bytes] = lambda _, sealed: sealed


class WrongKeys(Exception):
    """There is data that neither key decrypts, and none that RELAY_SECRET_KEY_OLD decrypts."""


class Rekey:
    """Encrypts everything in the store and in the spool again, and the keys of the archive."""

    def __init__(self, connection: Connection, archive: Archive | None) -> None:
        self._connection = connection
        self._archive = archive
        self._swap = connection.script("swap")

    def run(self) -> Rekeyed:
        """Run until no data is encrypted with the old key. Raises WrongKeys, with nothing changed.

        Raises ArchiveAway if the archive couldn't be changed. Then everything else is done, but it must run again.
        """
        done, vault = Rekeyed(), self._connection.vault
        self._check_keys()
        self._connection.redis.set(VAULT, vault.former_to_keep())
        for _ in range(_PASSES):
            done.unreadable.clear()
            before = done.sealed.total()
            for place in self._places():
                self._seal_anew(place, done)
            if done.sealed.total() == before:
                break
        folder = self._connection.settings.data_dir / "spool"
        records, done.busy_segments, lost = seal_spool_anew(folder, vault)
        for counts, count in ((done.sealed, records), (done.unreadable, lost)):
            if count:
                counts["spool"] += count
        self._rekey_archive(done)
        if not done.busy_segments:
            self._connection.redis.set(REKEYED, vault.key_id)
            self._connection.redis.set(KEY_ID, vault.key_id)
        return done

    def _rekey_archive(self, done: Rekeyed) -> None:
        if self._archive is None:
            return
        for counts, count in zip((done.sealed, done.unreadable), self._archive.rekey(), strict=True):
            if count:
                counts["archive"] += count

    def _check_keys(self) -> None:
        """Check the keys first: digests made with a mistyped key would permanently lock out every API key."""
        unreadable = 0
        for place in self._places():
            try:
                if self._connection.vault.seal_anew(place.purpose, place.unwrap(place.value), place.context):
                    return
            except SealError:
                unreadable += 1
        if unreadable:
            raise WrongKeys

    def _seal_anew(self, place: _Place, done: Rekeyed) -> None:
        try:
            sealed = self._connection.vault.seal_anew(place.purpose, place.unwrap(place.value), place.context)
        except SealError:
            done.unreadable[place.purpose] += 1
            return
        if sealed is not None:
            value = place.wrap(place.value, sealed)
            done.sealed[place.purpose] += int(
                self._swap(keys=[place.key], args=[place.field, place.value, value])
            )

    # Places of encrypted data

    def _places(self) -> Iterator[_Place]:
        readers = {
            b"device": self._of_device,
            b"user": self._of_user,
            b"blob": self._of_blob,
            b"command": self._of_command,
            b"corrections": self._of_corrections,
            b"employees": self._of_employees,
            b"idempotency": self._of_answer,
            b"signing_keys": self._of_signing_keys,
            b"subscriptions": self._of_subscriptions,
        }
        for key in self._connection.redis.scan_iter(match="{*", count=1_000):
            read = readers.get(key.split(b":", 2)[1])
            if read is not None:
                with suppress(UnicodeDecodeError):
                    yield from read(key)

    def _of_device(self, key: bytes) -> Iterator[_Place]:
        value = self._connection.redis.hget(key, "secrets")
        if value:
            yield _Place("device", key, b"secrets", value, key.decode().split(":", 2)[2])

    def _of_user(self, key: bytes) -> Iterator[_Place]:
        device_id, user_id = key.decode().split(":", 3)[2:]
        for name, value in self._connection.redis.hgetall(key).items():
            if is_sealed(name):
                yield _Place("user", key, name, value, f"{device_id}\n{user_id}")

    def _of_blob(self, key: bytes) -> Iterator[_Place]:
        blob_id = key.decode().rpartition(":")[2]
        value = self._connection.redis.get(key)
        if value:
            yield _Place(_BLOBS[blob_id.partition("_")[0]], key, b"", value, blob_id)

    def _of_command(self, key: bytes) -> Iterator[_Place]:
        value = self._connection.redis.hget(key, "payload")
        if value:
            yield _Place("command", key, b"payload", value, key.decode().rpartition(":")[2])

    def _of_employees(self, key: bytes) -> Iterator[_Place]:
        for name, value in self._connection.redis.hgetall(key).items():
            yield _Place("employee", key, name, value, name.decode())

    def _of_corrections(self, key: bytes) -> Iterator[_Place]:
        for name, value in self._connection.redis.hgetall(key).items():
            yield _Place("correction", key, name, value, name.decode())

    def _of_signing_keys(self, key: bytes) -> Iterator[_Place]:
        value = self._connection.redis.get(key)
        if value:
            yield _Place("signing-keys", key, b"", value, "")

    def _of_answer(self, key: bytes) -> Iterator[_Place]:
        value = self._connection.redis.get(key)
        if value and sealed_part(value)[1]:
            yield _Place(
                "answer",
                key,
                b"",
                value,
                key.decode(),
                lambda stored: sealed_part(stored)[1],
                lambda stored, sealed: sealed_part(stored)[0] + sealed,
            )

    def _of_subscriptions(self, key: bytes) -> Iterator[_Place]:
        if key.count(b":") > 1:
            return  # a shard's version of the subscriptions

        def unwrap(stored: bytes) -> bytes:
            return base64.b64decode(orjson.loads(stored)["sealed"])

        def wrap(stored: bytes, sealed: bytes) -> bytes:
            record: dict[str, Any] = orjson.loads(stored)
            return orjson.dumps({**record, "sealed": base64.b64encode(sealed).decode()})

        for name, value in self._connection.redis.hgetall(key).items():
            yield _Place("subscription", key, name, value, name.decode(), unwrap, wrap)
