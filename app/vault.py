"""Encryption at rest, keyed digests and signed links, all from RELAY_SECRET_KEY.

Each purpose has a key of its own (HKDF), so that a sealed photo can't be passed off as a sealed token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12


class SealError(ValueError):
    """Something sealed can't be opened: it was altered, or sealed under another RELAY_SECRET_KEY."""


class Vault:
    """Seals and opens bytes, digests texts and signs paths under one secret key."""

    def __init__(self, secret_key: str) -> None:
        self._secret = secret_key.encode()
        self._cipher = lru_cache(maxsize=None)(lambda purpose: AESGCM(self._key(purpose)))
        self._mac_key = lru_cache(maxsize=None)(self._key)

    def _key(self, purpose: str) -> bytes:
        return HKDF(SHA256(), length=32, salt=b"cams-relay", info=purpose.encode()).derive(self._secret)

    def seal(self, purpose: str, plain: bytes, context: str = "") -> bytes:
        """AES-256-GCM of `plain`; it opens only with the same purpose and context (say, the key it is kept at)."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher(purpose).encrypt(nonce, plain, context.encode())

    def open(self, purpose: str, sealed: bytes, context: str = "") -> bytes:
        """The plain bytes. Raises SealError."""
        try:
            return self._cipher(purpose).decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError(
                f"a stored {purpose} can't be decrypted; has RELAY_SECRET_KEY changed?"
            ) from error

    def digest(self, purpose: str, text: str | bytes) -> str:
        """A keyed digest (HMAC-SHA-256, 128 bits in hex): tells a change without telling the data."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return hmac.digest(self._mac_key(purpose), data, "sha256")[:16].hex()

    def sign_path(self, path: str, seconds: int) -> str:
        """`path` with a query that proves, for so many seconds, that the relay gave it out."""
        expires = int(time.time()) + seconds
        return f"{path}?expires={expires}&signature={self._signature(path, str(expires))}"

    def path_is_signed(self, path: str, expires: str, signature: str) -> bool:
        """Whether the signature fits the path and has not expired."""
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            return False
        expected = self._signature(path, expires)
        return hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()) and (
            int(expires) >= time.time()
        )

    def _signature(self, path: str, expires: str) -> str:
        mac = hmac.digest(self._mac_key("link"), f"{path}\n{expires}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
