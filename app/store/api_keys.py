"""API keys: stored by their digest only, with scopes and an expiry."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from app import ids
from app.events.flatten import received_iso
from app.store.connection import Connection
from app.store.embedded import private_file
from app.store.keys import API_KEYS
from app.store.tries import FailedTries

SCOPES = (
    "events:read",
    "subscriptions:write",
    "devices:write",
    "actions:read",
    "actions:write",
    "actions:destructive",
    "templates:read",
    "metrics:read",
    "admin",
)

_MOST_WORKED = 1_000


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who calls. `admin` includes every other scope."""

    id: str
    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


FIRST_KEY = ApiKey("key_first", "first key", frozenset(SCOPES))


class ApiKeys:
    """What is kept of API keys, and the first one, which comes from the settings or the data folder."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tries = FailedTries(connection)
        self._worked: dict[
            str, None
        ] = {}  # digests of keys that were right when last used here, oldest first
        settings = connection.settings
        self.first = settings.api_key or private_file(settings.data_dir / "api_key", new_key())

    def authenticate(self, key: str, address: str) -> ApiKey | None:
        """Who has this key; None for a wrong, deleted or expired one.

        Raises TooManyTries once too many wrong ones came from `address`. Then none is looked at but those that have
        worked here before, so that a guesser doesn't shut out who shares the address with it, behind a proxy say.
        """
        digest = self._digest(key)
        if digest not in self._worked:
            self._tries.check(address)
        found = self._find(key, digest)
        if found is None:
            self._worked.pop(digest, None)
            self._tries.count(address)
        elif digest not in self._worked:
            while len(self._worked) >= _MOST_WORKED:
                self._worked.pop(next(iter(self._worked)))
            self._worked[digest] = None
        return found

    def _find(self, key: str, digest: str) -> ApiKey | None:
        if hmac.compare_digest(key.encode("utf-8", "surrogatepass"), self.first.encode()):
            return FIRST_KEY
        return self._stored(digest)

    def digest(self, key: str) -> str:
        """What is kept of a key."""
        return self._digest(key)

    def of_digest(self, digest: str) -> ApiKey | None:
        """Whose key has this digest; None for a deleted or expired one."""
        if hmac.compare_digest(digest, self._digest(self.first)):
            return FIRST_KEY
        return self._stored(digest)

    def _stored(self, digest: str) -> ApiKey | None:
        stored = self._connection.redis.hget(API_KEYS, digest)
        if stored is None:
            return None
        record = orjson.loads(stored)
        if record["expires_at"] and datetime.fromisoformat(record["expires_at"]) <= datetime.now(UTC):
            return None
        return ApiKey(record["id"], record["name"], frozenset(record["scopes"]))

    def create(
        self, name: str, scopes: list[str], expires_at: datetime | None = None
    ) -> tuple[str, dict[str, Any]]:
        """A new key, to be shown once, and its record."""
        key = new_key()
        record = {
            "id": ids.random_id("key"),
            "name": name,
            "scopes": sorted(set(scopes)),
            "key_hint": key[-4:],
            "created_at": received_iso(datetime.now(UTC)),
            "expires_at": expires_at.astimezone(UTC).isoformat(timespec="seconds") if expires_at else None,
        }
        self._connection.redis.hset(API_KEYS, self._digest(key), orjson.dumps(record))
        return key, record

    def all(self) -> list[dict[str, Any]]:
        """The records, oldest first."""
        records = [orjson.loads(stored) for stored in self._connection.redis.hvals(API_KEYS)]
        return sorted(records, key=lambda record: (record["created_at"], record["id"]))

    def delete(self, key_id: str) -> bool:
        """Whether there was one."""
        for digest, stored in self._connection.redis.hgetall(API_KEYS).items():
            if orjson.loads(stored)["id"] == key_id:
                return bool(self._connection.redis.hdel(API_KEYS, digest))
        return False

    def _digest(self, key: str) -> str:
        return self._connection.vault.digest("api_key", key)


def new_key() -> str:
    """192 random bits behind a prefix that secret scanners can look for."""
    return f"crk_{secrets.token_urlsafe(24)}"
