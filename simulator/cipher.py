"""AES-256/ECB/PKCS5 in Base64, as in the specification's section "Encryption"."""

import base64
import binascii
import json

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from simulator.codes import Code, Refused

KEY_BYTES = 32
_BLOCK_BYTES = 16


def check_key(key: str) -> str:
    """Return the key, if it has 32 bytes in UTF-8. ValueError otherwise."""
    if len(key.encode()) != KEY_BYTES:
        raise ValueError(f"security_key must be {KEY_BYTES} bytes, not {len(key.encode())}")
    return key


def encrypt(text: bytes, key: str) -> bytes:
    """Encrypt a text. Returns Base64."""
    padder = PKCS7(_BLOCK_BYTES * 8).padder()
    padded = padder.update(text) + padder.finalize()
    encryptor = _aes(key).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize())


def decrypt(body: bytes, key: str) -> bytes:
    """Return the text in an encrypted body.

    Refused 4 if the body can't be a ciphertext, 13 if this key doesn't decrypt it.
    """
    blocks = cipher_blocks(body)
    if blocks is None:
        raise Refused(Code.INVALID_ENCRYPTION, "the body is not Base64 of complete AES blocks")
    decryptor = _aes(key).decryptor()
    padded = decryptor.update(blocks) + decryptor.finalize()
    unpadder = PKCS7(_BLOCK_BYTES * 8).unpadder()
    try:
        text = unpadder.update(padded) + unpadder.finalize()
        text.decode()
    except ValueError as error:
        raise Refused(
            Code.INVALID_SECURITY_KEY, "the body can't be decrypted with the device's Security Key"
        ) from error
    return text


def cipher_blocks(body: bytes) -> bytes | None:
    """The bytes of a Base64 body that is whole AES blocks, bare or as a JSON string; None for others."""
    text = body.strip()
    if text[:1] == b'"':
        try:
            text = str(json.loads(text)).encode()
        except ValueError:
            return None
    try:
        blocks = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return blocks if blocks and len(blocks) % _BLOCK_BYTES == 0 else None


def _aes(key: str) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key.encode()), modes.ECB())
