"""Encryption at rest, keyed digests and signed links, all from RELAY_SECRET_KEY.

Each purpose has a key of its own (HKDF), so that a sealed photo can't be passed off as a sealed token.

**Rotation.** With RELAY_SECRET_KEY_OLD, what either key sealed opens, and what is sealed is sealed under the new one;
`cams-relay rekey` then seals all of it anew. Digests can't be made anew, since what they were made of is not kept:
those of STEADY_DIGESTS go on under the key they began with, which `rekey` leaves in the store, sealed. So do the
card numbers in stored events, as a stream's entries can't be changed, until the events are too old.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Callable
from functools import lru_cache

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12

# Digests that outlive a change of the key. Others (of links, of sessions) end with it.
STEADY_DIGESTS = (
    "token",
    "api_key",
    "operation",
    "content",
    "credential",
    "idempotency",
    "idempotency-body",
)
_IN_STREAMS = "extra"  # sealed where it can't be sealed anew
_FORMER = "former keys"


class SealError(ValueError):
    """Something sealed can't be opened: it was altered, or sealed under another RELAY_SECRET_KEY."""


class Vault:
    """Seals and opens bytes, digests texts and signs paths under one secret key, or one and the one before."""

    def __init__(self, secret_key: str, old_key: str | None = None) -> None:
        self._secrets = [key.encode() for key in (secret_key, old_key) if key]
        self._cipher = lru_cache(maxsize=None)(lambda purpose, age: AESGCM(self._key(purpose, age)))
        self._link_key = lru_cache(maxsize=None)(lambda age: self._key("link", age))
        self._digest_key = lru_cache(maxsize=None)(self._find_digest_key)
        self._former_ciphers = lru_cache(maxsize=None)(self._find_former_ciphers)
        # What `rekey` left in the store, as it is kept there; may raise what reading the store raises.
        self.read_former: Callable[[], bytes | None] = lambda: None

    def _key(self, purpose: str, age: int = 0) -> bytes:
        """The key of a purpose; `age` 0 is the present one's, 1 that of the one before."""
        return HKDF(SHA256(), length=32, salt=b"cams-relay", info=purpose.encode()).derive(self._secrets[age])

    @property
    def rotating(self) -> bool:
        """Whether there is a key before."""
        return len(self._secrets) > 1

    @property
    def key_id(self) -> str:
        """Tells one key from another without telling the key."""
        return self._key("key id")[:8].hex()

    # Sealing

    def seal(self, purpose: str, plain: bytes, context: str = "") -> bytes:
        """AES-256-GCM of `plain`; it opens only with the same purpose and context (say, the key it is kept at)."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher(purpose, 0).encrypt(nonce, plain, context.encode())

    def open(self, purpose: str, sealed: bytes, context: str = "") -> bytes:
        """The plain bytes. Raises SealError."""
        for age in range(len(self._secrets)):
            plain = _opened(self._cipher(purpose, age), sealed, context)
            if plain is not None:
                return plain
        if purpose == _IN_STREAMS:
            for cipher in self._former_ciphers():
                plain = _opened(cipher, sealed, context)
                if plain is not None:
                    return plain
        raise SealError(f"a stored {purpose} can't be decrypted; has RELAY_SECRET_KEY changed?")

    def seal_anew(self, purpose: str, sealed: bytes, context: str = "") -> bytes | None:
        """The same under the present key; None where it is already. Raises SealError."""
        if _opened(self._cipher(purpose, 0), sealed, context) is not None:
            return None
        return self.seal(purpose, self.open(purpose, sealed, context), context)

    # Digests

    def digest(self, purpose: str, text: str | bytes) -> str:
        """A keyed digest (HMAC-SHA-256, 128 bits in hex): tells a change without telling the data."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return hmac.digest(self._digest_key(purpose), data, "sha256")[:16].hex()

    def _find_digest_key(self, purpose: str) -> bytes:
        if purpose not in STEADY_DIGESTS:
            return self._key(purpose)
        kept: str | None = self._former().get("digests", {}).get(purpose)
        return bytes.fromhex(kept) if kept else self._key(purpose, len(self._secrets) - 1)

    # What a former key leaves behind

    def _former(self) -> dict[str, dict[str, str]]:
        stored = self.read_former()
        found: dict[str, dict[str, str]] = orjson.loads(self.open(_FORMER, stored)) if stored else {}
        return found

    def _find_former_ciphers(self) -> tuple[AESGCM, ...]:
        return tuple(AESGCM(bytes.fromhex(key)) for key in self._former().get("extras", {}).values())

    def former_to_keep(self) -> bytes:
        """What has to outlive the key before, sealed under the present one."""
        former = self._former()
        digests = {purpose: self._digest_key(purpose).hex() for purpose in STEADY_DIGESTS}
        extras = dict(former.get("extras", {}))
        if self.rotating:
            extras[self._key("key id", 1)[:8].hex()] = self._key(_IN_STREAMS, 1).hex()
        return self.seal(_FORMER, orjson.dumps({"digests": digests, "extras": extras}))

    # Links

    def sign_path(self, path: str, seconds: int) -> str:
        """`path` with a query that proves, for so many seconds, that the relay gave it out."""
        expires = int(time.time()) + seconds
        return f"{path}?expires={expires}&signature={self._signature(path, str(expires), 0)}"

    def path_is_signed(self, path: str, expires: str, signature: str) -> bool:
        """Whether the signature fits the path and has not expired."""
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            return False
        offered = signature.encode("utf-8", "replace")
        fits = [
            hmac.compare_digest(offered, self._signature(path, expires, age).encode())
            for age in range(len(self._secrets))
        ]
        return any(fits) and int(expires) >= time.time()

    def _signature(self, path: str, expires: str, age: int) -> str:
        mac = hmac.digest(self._link_key(age), f"{path}\n{expires}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _opened(cipher: AESGCM, sealed: bytes, context: str) -> bytes | None:
    try:
        return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())
    except (InvalidTag, ValueError):
        return None
