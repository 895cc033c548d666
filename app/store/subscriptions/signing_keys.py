"""The relay's Ed25519 key pairs, which sign the deliveries of subscriptions that ask for it.

Receivers read the public keys at a URL, so they need no secret. The private keys are stored encrypted.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass

import orjson
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.base.store_errors import is_wrong_type
from app.base.vault import SealError
from app.store.server.connection import Connection
from app.store.server.keys import SIGNING_KEYS
from app.store.subscriptions.keys import announce

_MOST = 4  # key pairs that sign at once, so that rotating often doesn't make deliveries slow


class UnreadableSigningKeys(Exception):
    """The stored signing keys are damaged."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair, and until when it signs (s since 1970); None for the newest one."""

    private: Ed25519PrivateKey
    created_at: float
    expires_at: float | None

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self.private.public_key().public_bytes_raw()

    @property
    def is_valid(self) -> bool:
        """Whether it signs now."""
        return self.expires_at is None or self.expires_at > time.time()

    def sign(self, content: bytes) -> str:
        """Return the signature in Base64."""
        return base64.b64encode(self.private.sign(content)).decode()


class SigningKeys:
    """The stored key pairs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._swap = connection.script("swap")

    def all(self) -> list[SigningKey]:
        """Return the key pairs that sign now, newest first. The first is created if there is none.

        Raises UnreadableSigningKeys.
        """
        while True:
            stored = self._stored()
            if stored is not None:
                return [key for key in self._read(stored) if key.is_valid]
            self._connection.redis.set(SIGNING_KEYS, self._pack([_new_key()]), nx=True)

    def rotate(self, seconds: int) -> list[SigningKey]:
        """Create a key pair. The present ones sign for `seconds` longer. Damaged ones are replaced.

        Returns the key pairs that sign now, newest first.
        """
        while True:
            try:
                stored = self._stored()
            except UnreadableSigningKeys:
                self._connection.redis.delete(SIGNING_KEYS)  # it has another type, so it can't be compared
                continue
            try:
                keys = self._rotated([] if stored is None else self._read(stored), seconds)
            except UnreadableSigningKeys:
                keys = [_new_key()]
            if self._replaced(stored, self._pack(keys)):
                announce(self._connection, "")
                return keys

    def _stored(self) -> bytes | None:
        """Return the stored value. Raises UnreadableSigningKeys if it has another type, and redis errors."""
        try:
            stored: bytes | None = self._connection.redis.get(SIGNING_KEYS)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            raise UnreadableSigningKeys from None
        return stored

    def _rotated(self, present: list[SigningKey], seconds: int) -> list[SigningKey]:
        end = time.time() + seconds
        former = [SigningKey(key.private, key.created_at, min(key.expires_at or end, end)) for key in present]
        return [_new_key(), *(key for key in former if key.is_valid)][:_MOST]

    def _replaced(self, before: bytes | None, after: bytes) -> bool:
        if before is None:
            return bool(self._connection.redis.set(SIGNING_KEYS, after, nx=True))
        return bool(self._swap(keys=[SIGNING_KEYS], args=["", before, after]))

    def _pack(self, keys: list[SigningKey]) -> bytes:
        rows = [(key.private.private_bytes_raw().hex(), key.created_at, key.expires_at) for key in keys]
        return self._connection.vault.seal("signing-keys", orjson.dumps(rows))

    def _read(self, stored: bytes) -> list[SigningKey]:
        try:
            rows = orjson.loads(self._connection.vault.open("signing-keys", stored))
            return [
                SigningKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(private)), created_at, until)
                for private, created_at, until in rows
            ]
        except (SealError, ValueError, TypeError):
            raise UnreadableSigningKeys from None


def _new_key() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate(), time.time(), None)
