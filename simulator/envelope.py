"""Decrypts a command's body and reads its JSON, before its content is checked."""

import json
from dataclasses import dataclass

from simulator.cipher import cipher_blocks, decrypt
from simulator.codes import Code, Refused


@dataclass(frozen=True)
class Envelope:
    """`body` is the JSON, or the bare text where there is none; `problem` is why it cannot be used."""

    body: object
    encrypted: bool
    problem: Refused | None = None

    @property
    def operation_id(self) -> str:
        """The OperationID to echo, as far as one can be read."""
        value = self.body.get("OperationID") if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""


def open_envelope(raw: bytes, key: str | None) -> Envelope:
    """Decrypt with the device's key, if it has one, and read the JSON."""
    encrypted = cipher_blocks(raw) is not None
    text = raw
    if key and encrypted:
        try:
            text = decrypt(raw, key)
        except Refused as refused:
            return Envelope(_shown(raw), encrypted, refused)
    elif key and _is_json(raw):
        why = "the body is not encrypted, but the device has a Security Key"
        return Envelope(json.loads(raw), encrypted, Refused(Code.PLAIN_TEXT_NOT_ALLOWED, why))
    elif key or encrypted:
        return Envelope(
            _shown(raw), encrypted, Refused(Code.INVALID_ENCRYPTION, "the body can't be decrypted")
        )
    if not _is_json(text):
        return Envelope(_shown(text), encrypted, Refused(Code.INVALID_REQUEST_DATA, "the body is not JSON"))
    body = json.loads(text)
    problem = None
    if not isinstance(body, dict):
        problem = Refused(Code.INVALID_REQUEST_DATA, "the body is not an object")
    return Envelope(body, encrypted, problem)


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
