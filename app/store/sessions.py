"""Sessions of the console: who signed in with an API key, until they sign out or the key is gone."""

from __future__ import annotations

import secrets

from app.store.api_keys import ApiKey, ApiKeys
from app.store.connection import Connection
from app.store.keys import session

SECONDS = 12 * 3_600  # without a request


class Sessions:
    """What is kept of sessions. A token is 256 random bits; only its keyed digest is stored."""

    def __init__(self, connection: Connection, api_keys: ApiKeys) -> None:
        self._connection = connection
        self._api_keys = api_keys

    def begin(self, key: str) -> str:
        """The token of a new session for the holder of an API key that was authenticated."""
        token = secrets.token_urlsafe(32)
        self._connection.redis.set(self._name(token), self._api_keys.digest(key), ex=SECONDS)
        return token

    def caller(self, token: str) -> ApiKey | None:
        """Whose session it is; None where it ended, or its key was deleted or has expired."""
        digest = self._connection.redis.getex(self._name(token), ex=SECONDS)
        return self._api_keys.of_digest(digest.decode()) if digest else None

    def holder(self, token: str) -> ApiKey | None:
        """The same for who only goes on listening: the session gets no longer by it."""
        digest = self._connection.redis.get(self._name(token))
        return self._api_keys.of_digest(digest.decode()) if digest else None

    def end(self, token: str) -> None:
        """Signs out."""
        self._connection.redis.delete(self._name(token))

    def csrf(self, token: str) -> str:
        """What a request that changes something must bring along, beside the cookie."""
        return self._connection.vault.digest("csrf", token)

    def _name(self, token: str) -> str:
        return session(self._connection.vault.digest("session", token))
