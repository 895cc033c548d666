"""The gateway's encryption: AES-256 in ECB mode with PKCS5 padding, in Base64. Spec: Encryption.

Neither a key nor a plaintext is ever in an exception or a repr.
"""

from __future__ import annotations

import binascii
import json
import re

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 16
_KEY_BYTES = 32
# Trailing blanks and control characters after the padding were seen in the wild.
_JUNK = bytes(range(0x21)) + b"\x7f"
_BOM = b"\xef\xbb\xbf"
# The start of a JSON object, cut anywhere: blanks, a brace, a quote (or the other brace), then text.
_OBJECT_STARTS = re.compile(
    rb"(?:\xef\xbb\xbf)?[ \t\r\n]*(?:\{[ \t\r\n]*(?:[\"}]"
    rb"(?:[ -\x7f\t\r\n]|[\xc2-\xf4][\x80-\xbf]{1,3})*(?:[\xc2-\xf4][\x80-\xbf]{0,2})?)?)?"
)
_MAY_START = frozenset(b"{ \t\r\n\xef")


class CipherError(ValueError):
    """A body can't be decrypted: it is no ciphertext, or not one of this key."""


def ciphertext(body: bytes) -> bytes | None:
    """The ciphertext in a body: bare Base64, or a JSON string of it in quotes, with or without line breaks.

    None if it can't be one: empty, not Base64, or not a whole number of 16-byte blocks.
    """
    text = body.removeprefix(_BOM).strip(_JUNK)
    if text[:1] == b"{":
        return None  # the usual body that isn't one: spares reading all of it
    if text[:1] == b'"':
        unquoted = _unquoted(text)
        if unquoted is None:
            return None
        text = unquoted
    text = b"".join(text.split())
    try:
        sealed = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        return None
    return sealed if sealed and len(sealed) % _BLOCK == 0 else None


def _unquoted(text: bytes) -> bytes | None:
    if len(text) < 2 or text[-1:] != b'"':
        return None
    if b"\\" not in text:
        return text[1:-1]
    try:
        # Not strict: raw line breaks inside the quotes were meant.
        return str(json.loads(text, strict=False)).encode("ascii")
    except ValueError:
        return None


class SecurityKey:
    """A device's security key: encrypts what goes to the gateway, decrypts what comes from it."""

    __slots__ = ("_decryptor", "_encryptor")

    def __init__(self, key: str) -> None:
        """Raises ValueError, with a sentence for a person, if the key's UTF-8 bytes are not 32."""
        try:
            secret = key.encode()
        except UnicodeEncodeError:
            raise ValueError("The security key contains a character that is not Unicode text.") from None
        if len(secret) != _KEY_BYTES:
            raise ValueError(
                f"The security key must be exactly {_KEY_BYTES} bytes long in UTF-8 (AES-256); "
                f"this one has {len(secret)}."
            )
        cipher = Cipher(algorithms.AES(secret), modes.ECB())
        # ECB has no state between blocks, so one context serves for good; making one costs ten times its use.
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()

    def __repr__(self) -> str:
        return "SecurityKey(…)"

    def encrypt(self, plain: bytes) -> bytes:
        """Base64 of the ciphertext, on one line: the body of a request."""
        missing = _BLOCK - len(plain) % _BLOCK
        return binascii.b2a_base64(self._encryptor.update(plain + bytes([missing]) * missing), newline=False)

    def decrypt(self, body: bytes) -> bytes:
        """The plaintext of a request's body or an answer. Raises CipherError."""
        sealed = ciphertext(body)
        if sealed is None:
            raise CipherError("The body is not the Base64 of a ciphertext.")
        return self.open(sealed)

    def opens(self, sealed: bytes) -> bool:
        """Whether the first block decrypts to the start of a JSON object: tells the right key of thousands.

        Cheap (a microsecond or two); a wrong key passes less than once in a million times.
        """
        if len(sealed) < _BLOCK:
            return False
        plain = self._decryptor.update(sealed[:_BLOCK])
        if plain[0] not in _MAY_START:
            return False
        if len(sealed) == _BLOCK:
            plain = plain.rstrip(_JUNK)  # the padding is in the only block
        return _OBJECT_STARTS.fullmatch(plain) is not None

    def open(self, sealed: bytes) -> bytes:
        """The plaintext of a ciphertext, without padding and what may trail it. Raises CipherError."""
        if not sealed or len(sealed) % _BLOCK:
            raise CipherError("The ciphertext is not a whole number of 16-byte blocks.")
        plain = self._decryptor.update(sealed)
        padding = plain[-1]
        padded = 1 <= padding <= _BLOCK and plain.endswith(bytes([padding]) * padding)
        if padded:
            plain = plain[:-padding]
        plain = plain.rstrip(_JUNK)
        # A wrong key's noise ends in what looks like padding once in 256 times, but then it is no text.
        if not (padded and _is_text(plain)) and not _is_object(plain):
            raise CipherError("The body does not decrypt with this security key.")
        return plain


def _is_text(plain: bytes) -> bool:
    try:
        plain.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_object(plain: bytes) -> bool:
    """Whether it begins and ends as a JSON object; between, a device may have put names of another encoding."""
    return _OBJECT_STARTS.fullmatch(plain[:_BLOCK].rstrip(_JUNK)) is not None and plain[-1:] == b"}"
