"""Verification of webhook signatures (Standard Webhooks, HMAC-SHA-256)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import cast

from .types import Event

TOLERANCE = 300
"""How many seconds a delivery's timestamp may differ from this machine's clock."""


class InvalidSignature(Exception):
    """A delivery isn't from the relay, was changed, or is too old. Answer it with 401."""


def verify(
    secret: str, headers: Mapping[str, str], body: bytes, *, tolerance: float = TOLERANCE
) -> list[Event]:
    """Check a delivery's signature, and return its events: one, or several if it is a batch.

    `secret` is the subscription's secret (`whsec_…`). `headers` are the request's headers, in any case. `body` is the
    body exactly as received, before it is parsed. `tolerance` is in seconds. A delivery with several signatures, such
    as after a rotation of the secret, is valid if one of them is. Signatures of other versions than `v1` are ignored.

    The subscription's format must be `flat`, which is the default. Raises InvalidSignature, and ValueError if the
    secret itself is wrong.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("The secret is wrong. It begins with whsec_, followed by Base64.")
    if not isinstance(body, bytes):
        raise TypeError(
            "The body must be the received bytes. JSON that was parsed and written again differs."
        )
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
        age = abs(time.time() - int(timestamp))
    except KeyError as error:
        raise InvalidSignature(f"The header {error.args[0]} is missing.") from None
    except ValueError:
        raise InvalidSignature("webhook-timestamp is not a number.") from None
    if age > tolerance:
        raise InvalidSignature("webhook-timestamp is too old or too new. Check this machine's clock.")
    signed = b".".join((message_id.encode(errors="replace"), timestamp.encode(), body))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    expected = b"v1," + digest
    if not any(hmac.compare_digest(expected, one.encode(errors="replace")) for one in signatures):
        raise InvalidSignature("No signature is valid. Compare the secret with that of the subscription.")
    content = json.loads(body)
    return cast("list[Event]", content if isinstance(content, list) else [content])
