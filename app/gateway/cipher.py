"""The gateway's encryption: AES-256 in ECB mode with PKCS5 padding, in Base64. Spec: Encryption.

Neither a key nor a plaintext is ever in an exception or a repr.
"""

from __future__ import annotations

import binascii
import json
import re

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 16
_KEY_BYTES = 32
_USUAL_STARTS = (b'{"RealTime":{"Op', b'{"RealTime": {"O')  # how callbacks begin: one block each
# Real gateways send trailing blanks and control characters after the padding.
_JUNK = bytes(range(0x21)) + b"\x7f"
_LINE_BREAKS = b" \t\n\r\v\f"
_BOM = b"\xef\xbb\xbf"
# The start of a JSON object, cut anywhere: blanks, a brace, a quote (or the other brace), then text.
_OBJECT_STARTS = re.compile(
    rb"(?:\xef\xbb\xbf)?[ \t\r\n]*(?:\{[ \t\r\n]*(?:[\"}]"
    rb"(?:[ -\x7f\t\r\n]|[\xc2-\xf4][\x80-\xbf]{1,3})*(?:[\xc2-\xf4][\x80-\xbf]{0,2})?)?)?"
)
_MAY_START = frozenset(b"{ \t\r\n\xef")


class CipherError(ValueError):
    """A body can't be decrypted: it isn't a ciphertext, or was encrypted with another key."""


def ciphertext(body: bytes) -> bytes | None:
    """Return the ciphertext in a body: bare Base64, or a JSON string with it, with or without line breaks.

    None if it can't be one: empty, not Base64, or not a whole number of 16-byte blocks.
    """
    text = body.removeprefix(_BOM).strip(_JUNK)
    if text[:1] == b"{":
        return None  # an ordinary JSON body: saves reading all of it
    if text[:1] == b'"':
        unquoted = _unquoted(text)
        if unquoted is None:
            return None
        text = unquoted
    text = text.translate(None, _LINE_BREAKS)
    try:
        sealed = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        return None
    return sealed if sealed and len(sealed) % BLOCK == 0 else None


def _unquoted(text: bytes) -> bytes | None:
    if len(text) < 2 or text[-1:] != b'"':
        return None
    if b"\\" not in text:
        return text[1:-1]
    try:
        # Not strict: line breaks within the quotes are intended.
        return str(json.loads(text, strict=False)).encode("ascii")
    except ValueError:
        return None


class SecurityKey:
    """A device's Security Key: encrypts bodies to the gateway, decrypts bodies from it."""

    __slots__ = ("_decryptor", "_encryptor", "usual_first_blocks")

    def __init__(self, key: str) -> None:
        """Raises ValueError, with a readable message, if the key doesn't have 32 bytes in UTF-8."""
        try:
            secret = key.encode()
        except UnicodeEncodeError:
            raise ValueError("The Security Key contains a character that isn't valid Unicode.") from None
        if len(secret) != _KEY_BYTES:
            raise ValueError(
                f"The Security Key must be exactly {_KEY_BYTES} bytes long in UTF-8 (AES-256), but this one "
                f"has {len(secret)} bytes."
            )
        cipher = Cipher(algorithms.AES(secret), modes.ECB())
        # ECB has no state between blocks, so one context can be reused. Creating one costs ten times as much as using
        # it.
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()
        self.usual_first_blocks = tuple(self._encryptor.update(start) for start in _USUAL_STARTS)

    def __repr__(self) -> str:
        return "SecurityKey(…)"

    def encrypt(self, plain: bytes) -> bytes:
        """Encrypt the body of a request. Returns Base64 on one line."""
        missing = BLOCK - len(plain) % BLOCK
        return binascii.b2a_base64(self._encryptor.update(plain + bytes([missing]) * missing), newline=False)

    def decrypt(self, body: bytes) -> bytes:
        """Decrypt the body of a request or an answer. Raises CipherError."""
        sealed = ciphertext(body)
        if sealed is None:
            raise CipherError("The body is not Base64-encoded ciphertext.")
        return self.open(sealed)

    def opens(self, sealed: bytes) -> bool:
        """Return whether the first block decrypts to the start of a JSON object, to find a key among thousands.

        It takes one or two microseconds. A wrong key passes less than once in a million times.
        """
        if len(sealed) < BLOCK:
            return False
        plain = self._decryptor.update(sealed[:BLOCK])
        if plain[0] not in _MAY_START:
            return False
        if len(sealed) == BLOCK:
            plain = plain.rstrip(_JUNK)  # the padding is in the only block
        return _OBJECT_STARTS.fullmatch(plain) is not None

    def open(self, sealed: bytes) -> bytes:
        """Decrypt a ciphertext. Returns the plaintext without padding and trailing characters. Raises CipherError."""
        if not sealed or len(sealed) % BLOCK:
            raise CipherError("The ciphertext is not a whole number of 16-byte blocks.")
        plain = self._decryptor.update(sealed)
        padding = plain[-1]
        padded = 1 <= padding <= BLOCK and plain.endswith(bytes([padding]) * padding)
        if padded:
            plain = plain[:-padding]
        plain = plain.rstrip(_JUNK)
        # With a wrong key, the result looks padded once in 256 times, but then it isn't text.
        if not (padded and _is_text(plain)) and not _is_object(plain):
            raise CipherError("The body can't be decrypted with this Security Key.")
        return plain


def _is_text(plain: bytes) -> bool:
    try:
        plain.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_object(plain: bytes) -> bool:
    """Return whether it begins and ends like a JSON object. Names within it may have another encoding."""
    return _OBJECT_STARTS.fullmatch(plain[:BLOCK].rstrip(_JUNK)) is not None and plain[-1:] == b"}"
