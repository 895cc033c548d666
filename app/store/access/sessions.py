"""Sessions of the console, from signing in with an API key until signing out, or until the key is gone."""

from __future__ import annotations

import secrets

from app.store.access.api_keys import ApiKey, ApiKeys
from app.store.server.connection import Connection
from app.store.server.keys import session

SECONDS = 12 * 3_600  # since the last request


class Sessions:
    """The stored sessions. A token has 256 random bits; only its keyed digest is stored."""

    def __init__(self, connection: Connection, api_keys: ApiKeys) -> None:
        self._connection = connection
        self._api_keys = api_keys

    def begin(self, key: str) -> str:
        """Create a session for an authenticated API key, and return its token."""
        token = secrets.token_urlsafe(32)
        self._connection.redis.set(self._name(token), self._api_keys.digest(key), ex=SECONDS)
        return token

    def caller(self, token: str) -> ApiKey | None:
        """Return the session's API key, and extend the session; None if either has expired or is gone."""
        digest = self._connection.redis.getex(self._name(token), ex=SECONDS)
        return self._api_keys.of_digest(digest.decode()) if digest else None

    def holder(self, token: str) -> ApiKey | None:
        """Return the session's API key without extending the session, for open event streams."""
        digest = self._connection.redis.get(self._name(token))
        return self._api_keys.of_digest(digest.decode()) if digest else None

    def end(self, token: str) -> None:
        """End a session."""
        self._connection.redis.delete(self._name(token))

    def csrf(self, token: str) -> str:
        """Return the token that a request with changes must contain, in addition to the cookie."""
        return self._connection.vault.digest("csrf", token)

    def _name(self, token: str) -> str:
        return session(self._connection.vault.digest("session", token))
