"""AES-256/ECB/PKCS5 in Base64, as the specification's section "Encryption" has it."""

import base64
import binascii
import json

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from simulator.codes import Code, Refused

KEY_BYTES = 32
_BLOCK_BYTES = 16


def check_key(key: str) -> str:
    """The key itself, if its UTF-8 bytes are 32. ValueError otherwise."""
    if len(key.encode()) != KEY_BYTES:
        raise ValueError(f"security_key must be {KEY_BYTES} bytes, not {len(key.encode())}")
    return key


def encrypt(text: bytes, key: str) -> bytes:
    """Base64 of the encrypted text."""
    padder = PKCS7(_BLOCK_BYTES * 8).padder()
    padded = padder.update(text) + padder.finalize()
    encryptor = _aes(key).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize())


def decrypt(body: bytes, key: str) -> bytes:
    """The text in an encrypted body.

    Refused 4 where the body cannot be ciphertext at all, 13 where it is but this key does not open it.
    """
    blocks = cipher_blocks(body)
    if blocks is None:
        raise Refused(Code.INVALID_ENCRYPTION, "the body is not Base64 of whole AES blocks")
    decryptor = _aes(key).decryptor()
    padded = decryptor.update(blocks) + decryptor.finalize()
    unpadder = PKCS7(_BLOCK_BYTES * 8).unpadder()
    try:
        text = unpadder.update(padded) + unpadder.finalize()
        text.decode()
    except ValueError as error:
        raise Refused(
            Code.INVALID_SECURITY_KEY, "the device's security key does not open the body"
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
