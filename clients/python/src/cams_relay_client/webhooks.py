"""Verification of webhook signatures (Standard Webhooks): HMAC-SHA-256 (v1) and Ed25519 (v1a)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import cast

from .types import Event

_PUBLIC = "whpk_"
TOLERANCE = 300
"""How many seconds a delivery's timestamp may differ from this machine's clock."""


class InvalidSignature(Exception):
    """A delivery isn't from the relay, was changed, or is too old. Answer it with 401."""


def verify(
    secret: str | Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance: float = TOLERANCE,
) -> list[Event]:
    """Check a delivery's signature, and return its events: one, or several if it is a batch.

    `secret` is the subscription's secret (`whsec_…`), a public key of the relay (`whpk_…`, from `Relay.signing_keys`),
    or several of these. Public keys need the package `cryptography`. `headers` are the request's headers, in any case.
    `body` is the body exactly as received, before it is parsed. `tolerance` is in seconds. A delivery with several
    signatures, such as after a rotation, is valid if one of them is.

    The subscription's format must be `flat`, which is the default. Raises InvalidSignature, and ValueError if a
    secret or key itself is wrong.
    """
    secrets = [secret] if isinstance(secret, str) else list(secret)
    keys = [(one.startswith(_PUBLIC), _bytes_of(one)) for one in secrets]
    if not keys:
        raise ValueError("There is no secret or public key to check the signature with.")
    if not isinstance(body, bytes):
        raise TypeError(
            "The body must be the received bytes. JSON that was parsed and written again differs."
        )
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
    except KeyError as error:
        raise InvalidSignature(f"The header {error.args[0]} is missing.") from None
    if not re.fullmatch("[0-9]{1,12}", timestamp):
        raise InvalidSignature("webhook-timestamp is not a number.")
    if abs(time.time() - int(timestamp)) > tolerance:
        raise InvalidSignature("webhook-timestamp is too old or too new. Check this machine's clock.")
    signed = b".".join((message_id.encode(errors="replace"), timestamp.encode(), body))
    if not any((_is_ed25519 if public else _is_hmac)(key, signed, signatures) for public, key in keys):
        raise InvalidSignature("No signature is valid. Compare the secret with that of the subscription.")
    content = json.loads(body)
    return cast("list[Event]", content if isinstance(content, list) else [content])


def _bytes_of(secret: str) -> bytes:
    """Return the bytes of a secret or public key. Raises ValueError."""
    prefix = _PUBLIC if secret.startswith(_PUBLIC) else "whsec_"
    try:
        key = base64.b64decode(secret.removeprefix(prefix), validate=True)
    except binascii.Error:
        key = b""
    if prefix == _PUBLIC and len(key) != 32:
        raise ValueError("The public key is wrong. It begins with whpk_, followed by the Base64 of 32 bytes.")
    if not key:
        raise ValueError("The secret is wrong. It begins with whsec_, followed by Base64.")
    return key


def _is_hmac(key: bytes, signed: bytes, signatures: Sequence[str]) -> bool:
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    return any(hmac.compare_digest(expected, one.encode(errors="replace")) for one in signatures)


def _is_ed25519(key: bytes, signed: bytes, signatures: Sequence[str]) -> bool:
    from cryptography.exceptions import InvalidSignature as Invalid  # only needed with a public key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = Ed25519PublicKey.from_public_bytes(key)
    for one in signatures:
        if one.startswith("v1a,"):
            with suppress(Invalid, binascii.Error, ValueError):
                public.verify(base64.b64decode(one[4:], validate=True), signed)
                return True
    return False
