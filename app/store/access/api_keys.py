"""API keys. Only their digests are stored, with scopes and an expiry.

A rotated key has a new digest. Until the previous one expires, `{g}:api_keys:previous` leads from it to the new one.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import orjson
import redis

from app.base import ids
from app.base.yielding import in_turns
from app.store.access.api_key_records import (
    StoredKey,
    has_passed,
    new_key,
    new_record,
    read_record,
    rotated_record,
)
from app.store.access.api_key_use import ApiKeyUse
from app.store.access.failed_attempts import FailedTries
from app.store.access.scopes import SCOPES
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.embedded import EmptyFile, NotMade, keep_private_file, private_file
from app.store.server.keys import API_KEYS, API_KEYS_PREVIOUS

_MOST_WORKED = 1_000
RESTORED = "api_key.restored"
_RESTORED_TEXT = (
    "The API keys of this relay came from a backup, so no first key is made. To have one made at the next start, "
    "remove this file.\n"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The API key of a caller. `admin` includes every other scope."""

    id: str
    name: str
    scopes: frozenset[str]
    device_ids: frozenset[str] | None = None  # the only devices that it may access; None for all

    def sees(self, device_id: str | None) -> bool:
        """Return whether the key may access a device, and what is stored about it."""
        return self.device_ids is None or device_id in self.device_ids

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class KeyExpired(Exception):
    """A key that has expired can't be rotated, because the new one would have expired, too."""


FIRST_KEY = ApiKey("key_first", "first key", frozenset(SCOPES))


class ApiKeys:
    """The stored API keys, and the first one, which comes from the settings or the data folder."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._swap, self._rotate = connection.script("swap"), connection.script("rotate_key")
        self.use = ApiKeyUse(connection)
        self._tries = FailedTries(connection)
        self._worked: dict[
            str, None
        ] = {}  # digests of keys that were valid when last used here, oldest first
        self._folder = connection.settings.data_dir

    @property
    def first(self) -> str:
        """The first key. It is created when it is first needed, which is never before the store may be used."""
        return self._first[0]

    @property
    def has_first(self) -> bool:
        """Return whether the first key is known. A command doesn't know it, and nobody does after a restore."""
        return self._first[1]

    def make_first(self) -> None:
        """Create the first key now, if there should be one, so that people find it in the data folder."""
        _ = self._first

    @cached_property
    def _first(self) -> tuple[str, bool]:
        try:
            return self._read_first(), True
        except NotMade:  # a command that accepts no requests, or a store with API keys from a backup
            return new_key(), False

    def _read_first(self) -> str:
        """Read or create the first key. Raises NotMade if there is none and none may be created."""
        if self._connection.settings.api_key:
            return self._connection.settings.api_key
        file = self._folder / "api_key"
        if (self._folder / RESTORED).exists() and not file.exists():
            raise NotMade("the API keys came from a backup")
        return private_file(file, new_key())

    def first_record(self) -> tuple[str, bytes] | None:
        """Return the first key as other keys are stored (digest and record), for a backup; None if it isn't known.

        It is read each time, because a process that makes backups may have started before there was one.
        """
        try:
            key = self._read_first()
        except (NotMade, EmptyFile):
            return None
        record = new_record(FIRST_KEY.id, FIRST_KEY.name, key, list(FIRST_KEY.scopes), None)
        return self._digest(key), orjson.dumps(record)

    def go_on_with_restored(self) -> bool:
        """Call this after a restore. If there is a key with the scope admin (True), no first key is created."""
        if self.has_first:
            self._connection.redis.hdel(
                API_KEYS, self._digest(self.first)
            )  # it is in the settings or the folder
            return True
        now = datetime.now(UTC)
        for record in self.all():
            expires_at = record["expires_at"]
            if "admin" in record["scopes"] and (not expires_at or datetime.fromisoformat(expires_at) > now):
                with suppress(FileExistsError):
                    keep_private_file(self._folder / RESTORED, _RESTORED_TEXT)
                return True
        return False

    def authenticate(self, key: str, address: str) -> ApiKey | None:
        """Return the API key that this is; None for a wrong, deleted or expired one.

        Raises TooManyTries after too many wrong keys from `address`. Then only keys that have worked here before are
        accepted, so that somebody who guesses keys doesn't lock out others with the same address, for example behind a
        proxy.
        """
        digest = self._digest(key)
        if digest not in self._worked:
            self._tries.check(address)
        try:
            found = self._find(key, digest)
        except (redis.RedisError, OSError):
            if digest not in self._worked:
                self._tries.count_here(address)  # so that the first key can't be guessed meanwhile
            raise
        if found is None:
            self._worked.pop(digest, None)
            self._tries.count(address)
        elif digest not in self._worked:
            while len(self._worked) >= _MOST_WORKED:
                self._worked.pop(next(iter(self._worked)))
            self._worked[digest] = None
        return found

    def _find(self, key: str, digest: str) -> ApiKey | None:
        with suppress(EmptyFile):  # the other keys are valid anyway
            if hmac.compare_digest(key.encode("utf-8", "surrogatepass"), self.first.encode()):
                return FIRST_KEY
        return self._stored(digest)

    def digest(self, key: str) -> str:
        """Return the digest under which a key is stored."""
        return self._digest(key)

    def of_digest(self, digest: str) -> ApiKey | None:
        """Return the API key with this digest; None for a deleted or expired one."""
        with suppress(EmptyFile):
            if hmac.compare_digest(digest, self._digest(self.first)):
                return FIRST_KEY
        return self._stored(digest)

    def _stored(self, digest: str) -> ApiKey | None:
        stored = self._connection.redis.hget(API_KEYS, digest) or self._successor(digest)
        record = None if stored is None else read_record(stored)
        if record is None or has_passed(record["expires_at"]):
            return None
        devices = record["device_ids"]
        limit = None if devices is None else frozenset(devices)
        return ApiKey(record["id"], record["name"], frozenset(record["scopes"]), limit)

    def _successor(self, digest: str) -> bytes | None:
        """Return the record of the key that replaced the one with this digest, while the old one is valid."""
        with left_out("a rotated API key"):
            stored = self._connection.redis.hget(API_KEYS_PREVIOUS, digest)
            previous = None if stored is None else orjson.loads(stored)
            if previous is not None and not has_passed(previous["expires_at"]):
                found: bytes | None = self._connection.redis.hget(API_KEYS, previous["replaced_by"])
                return found
        return None

    def create(
        self,
        name: str,
        scopes: list[str],
        expires_at: datetime | None = None,
        device_ids: list[str] | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Create a key. Returns the key itself, which is shown only once, and its record."""
        key = new_key()
        record = new_record(ids.random_id("key"), name, key, scopes, expires_at, device_ids)
        self._connection.redis.hset(API_KEYS, self._digest(key), orjson.dumps(record))
        return key, record

    def all(self) -> list[dict[str, Any]]:
        """Return the records that can be read, oldest first."""
        records = map(read_record, in_turns(self._connection.redis.hvals(API_KEYS)))
        found = [record for record in records if record is not None]
        return sorted(found, key=lambda record: (record["created_at"], record["id"]))

    def ids(self) -> set[str] | None:
        """Return the IDs of all keys, including the first key's; None if a key's record can't be read."""
        records = [read_record(stored) for stored in in_turns(self._connection.redis.hvals(API_KEYS))]
        readable = [record["id"] for record in records if record is not None]
        return {FIRST_KEY.id, *readable} if len(readable) == len(records) else None

    def unreadable(self) -> int:
        """Return how many records can't be read. Such keys are refused."""
        return sum(read_record(stored) is None for stored in in_turns(self._connection.redis.hvals(API_KEYS)))

    def count(self) -> int:
        """Return the number of keys."""
        return int(self._connection.redis.hlen(API_KEYS))

    def find(self, key_id: str) -> StoredKey | None:
        """Return a key by its ID; None if there is none or its record can't be read."""
        for digest, stored in in_turns(self._connection.redis.hgetall(API_KEYS).items()):
            record = read_record(stored)
            if record is not None and record["id"] == key_id:
                return StoredKey(digest.decode(), stored, record)
        return None

    def change(
        self, key_id: str, changes: dict[str, Any], check: Callable[[StoredKey], None]
    ) -> StoredKey | None:
        """Change fields of a key's record; return the key, or None if there is none.

        If `check` raises, nothing is changed.
        """
        while (found := self.find(key_id)) is not None:
            check(found)
            changed = {**found.record, **changes}
            stored = orjson.dumps(changed)
            if self._swap(keys=[API_KEYS], args=[found.digest, found.stored, stored]):
                return StoredKey(found.digest, stored, changed)
        return None

    def rotate(
        self, key_id: str, overlap: timedelta, check: Callable[[StoredKey], None]
    ) -> tuple[str, StoredKey] | None:
        """Give a key a new secret, and return it with the record. None if there is no such key.

        The previous secret is valid for `overlap`, but no longer than the key. An older one is no longer valid. If
        `check` raises, nothing is changed. Raises KeyExpired.
        """
        while (found := self.find(key_id)) is not None:
            check(found)
            end = found.record["expires_at"]
            if has_passed(end):
                raise KeyExpired
            until = datetime.now(UTC) + overlap
            key = new_key()
            record = rotated_record(
                found.record, key, min(until, datetime.fromisoformat(end)) if end else until
            )
            rotated = StoredKey(self._digest(key), orjson.dumps(record), record)
            if self._rotated(found, rotated):
                return key, rotated
        return None

    def _rotated(self, found: StoredKey, rotated: StoredKey) -> bool:
        """Replace a key's digest and record, and return True, unless the record has changed after it was read."""
        until = rotated.record["previous_key_expires_at"]
        previous = orjson.dumps({"replaced_by": rotated.digest, "expires_at": until}) if until else b""
        return bool(
            self._rotate(
                keys=[API_KEYS, API_KEYS_PREVIOUS],
                args=[found.digest, found.stored, rotated.digest, rotated.stored, previous],
            )
        )

    def delete(self, key_id: str, check: Callable[[StoredKey], None] = lambda _: None) -> bool:
        """Delete a key; return whether there was one. If `check` raises, it isn't deleted."""
        while (found := self.find(key_id)) is not None:
            check(found)
            if self._swap(keys=[API_KEYS], args=[found.digest, found.stored, b""]):
                self.use.forget(key_id)
                return True
        return False

    def remove_expired(self) -> None:
        """Remove digests of rotated keys that have expired, and when deleted keys were last used."""
        client = self._connection.redis
        for digest, stored in in_turns(client.hgetall(API_KEYS_PREVIOUS).items()):
            expired = True  # also if it can't be read
            with left_out("a rotated API key"):
                previous = orjson.loads(stored)
                expired = has_passed(previous["expires_at"])
            if expired:
                client.hdel(API_KEYS_PREVIOUS, digest)
        self.use.remove_others({record["id"] for record in self.all()})

    def _digest(self, key: str) -> str:
        return self._connection.vault.digest("api_key", key)
