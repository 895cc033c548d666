"""Encryption at rest, keyed digests and signed links, all from RELAY_SECRET_KEY.

Each purpose has a separate key (HKDF), so that an encrypted photo can't be used as an encrypted token.

**Rotation.** With RELAY_SECRET_KEY_OLD, what either key sealed opens, and what is sealed is sealed under the new one;
`cams-relay rekey` then seals all of it again. Digests can't be made again, since what they were made of is not kept:
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

# Digests that survive a change of the key. Others (of links, of sessions) end with it.
STEADY_DIGESTS = (
    "token",
    "api_key",
    "operation",
    "content",
    "credential",
    "idempotency",
    "idempotency-body",
    "employee",
)
_IN_STREAMS = "extra"  # encrypted data that can't be encrypted again
FORMER_KEYS = "former keys"


class SealError(ValueError):
    """Encrypted data can't be decrypted: it was altered, or encrypted with another RELAY_SECRET_KEY."""


class Vault:
    """Encrypts and decrypts bytes, digests texts and signs paths, with the secret key and maybe the previous one."""

    def __init__(self, secret_key: str, old_key: str | None = None) -> None:
        self._secrets = [key.encode() for key in (secret_key, old_key) if key]
        self._cipher = lru_cache(maxsize=None)(lambda purpose, age: AESGCM(self._key(purpose, age)))
        self._link_key = lru_cache(maxsize=None)(lambda age: self._key("link", age))
        self._mac_key = lru_cache(maxsize=None)(self._key)
        self._digest_key = lru_cache(maxsize=None)(self._find_digest_key)
        self._former_ciphers = lru_cache(maxsize=None)(self._find_former_ciphers)
        # What `rekey` left in the store, as it is kept there; may raise what reading the store raises.
        self.read_former: Callable[[], bytes | None] = lambda: None

    def _key(self, purpose: str, age: int = 0) -> bytes:
        """Return the key of a purpose; `age` is 0 for the present secret key, 1 for the previous one."""
        return HKDF(SHA256(), length=32, salt=b"cams-relay", info=purpose.encode()).derive(self._secrets[age])

    @property
    def rotating(self) -> bool:
        """Return whether there is a previous key."""
        return len(self._secrets) > 1

    @property
    def key_id(self) -> str:
        """Return an ID that distinguishes keys without revealing them."""
        return self.key_ids[0]

    @property
    def key_ids(self) -> list[str]:
        """Return the ID of the present key, and of the previous one, if there is one."""
        return [self._key("key id", age)[:8].hex() for age in range(len(self._secrets))]

    # Sealing

    def seal(self, purpose: str, plain: bytes, context: str = "") -> bytes:
        """Encrypt with AES-256-GCM. Decrypting requires the same purpose and context (such as the value's key)."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher(purpose, 0).encrypt(nonce, plain, context.encode())

    def open(self, purpose: str, sealed: bytes, context: str = "") -> bytes:
        """Decrypt bytes. Raises SealError."""
        for age in range(len(self._secrets)):
            plain = _opened(self._cipher(purpose, age), sealed, context)
            if plain is not None:
                return plain
        if purpose == _IN_STREAMS:
            for cipher in self._former_ciphers():
                plain = _opened(cipher, sealed, context)
                if plain is not None:
                    return plain
        raise SealError(f"a stored {purpose} can't be decrypted. Has RELAY_SECRET_KEY changed?")

    def age_that_opens(self, purpose: str, sealed: bytes, context: str = "") -> int | None:
        """Return which key encrypted the data: 0 for the present one, 1 for the previous one, None for neither."""
        for age in range(len(self._secrets)):
            if _opened(self._cipher(purpose, age), sealed, context) is not None:
                return age
        return None

    def seal_anew(self, purpose: str, sealed: bytes, context: str = "") -> bytes | None:
        """Encrypt again with the present key; None if that isn't necessary. Raises SealError."""
        if _opened(self._cipher(purpose, 0), sealed, context) is not None:
            return None
        return self.seal(purpose, self.open(purpose, sealed, context), context)

    # Digests

    def digest(self, purpose: str, text: str | bytes) -> str:
        """Return a keyed digest (HMAC-SHA-256, 128 bits in hex), which shows changes without revealing the data."""
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
        found: dict[str, dict[str, str]] = orjson.loads(self.open(FORMER_KEYS, stored)) if stored else {}
        return found

    def _find_former_ciphers(self) -> tuple[AESGCM, ...]:
        return tuple(AESGCM(bytes.fromhex(key)) for key in self._former().get("extras", {}).values())

    def former_to_keep(self) -> bytes:
        """Return the data that must survive the previous key, encrypted with the present one."""
        former = self._former()
        digests = {purpose: self._digest_key(purpose).hex() for purpose in STEADY_DIGESTS}
        extras = dict(former.get("extras", {}))
        if self.rotating:
            extras[self._key("key id", 1)[:8].hex()] = self._key(_IN_STREAMS, 1).hex()
        return self.seal(FORMER_KEYS, orjson.dumps({"digests": digests, "extras": extras}))

    # Signatures

    def signature(self, purpose: str, data: bytes) -> str:
        """Return a proof that `data` comes from somebody with the present secret key (HMAC-SHA-256, in hex)."""
        return self._mac(purpose, data, 0)

    def is_signature(self, purpose: str, data: bytes, offered: str) -> bool:
        """Return whether this is the signature of `data`, with the present or the previous key."""
        given = offered.encode()
        fits = [
            hmac.compare_digest(given, self._mac(purpose, data, age).encode())
            for age in range(len(self._secrets))
        ]
        return any(fits)

    def _mac(self, purpose: str, data: bytes, age: int) -> str:
        return hmac.digest(self._mac_key(purpose, age), data, "sha256").hex()

    # Links

    def sign_path(self, path: str, seconds: int) -> str:
        """Return `path` with a query that proves for so many seconds that it comes from the relay."""
        expires = int(time.time()) + seconds
        return f"{path}?expires={expires}&signature={self._signature(path, str(expires), 0)}"

    def path_is_signed(self, path: str, expires: str, signature: str) -> bool:
        """Return whether the signature fits the path and hasn't expired."""
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
