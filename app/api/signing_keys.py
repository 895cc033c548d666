"""`/.well-known/jwks.json`: the public keys that verify Ed25519 signatures of deliveries; and their rotation."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
from flask import Blueprint, Response

from app.api.auth import PUBLIC, audited, needs, store
from app.api.problems import Problem
from app.api.request_helpers import answer, body
from app.schemas.signing_keys import SigningKeyRotation
from app.store.deliveries.rows import iso
from app.store.subscriptions.signing_keys import SigningKey, UnreadableSigningKeys

PATH = "/.well-known/jwks.json"
_CACHED = "public, max-age=300"

blueprint = Blueprint("signing_keys", __name__)


@blueprint.get(PATH)
@needs(PUBLIC)
def show() -> Response:
    """Returns the public keys that verify Ed25519 signatures of deliveries, as a JSON Web Key Set (RFC 7517)."""
    try:
        keys = store().signing_keys.all()
    except UnreadableSigningKeys:
        raise Problem(
            409, "The stored signing keys can't be read. Rotate them with POST /v1/signing-keys/rotate."
        ) from None
    return answer(_key_set(keys), Cache_Control=_CACHED, Access_Control_Allow_Origin="*")


@blueprint.post("/v1/signing-keys/rotate")
@needs("admin")
@audited("signing_key.rotated")
def rotate() -> Response:
    """Creates a new signing key. Deliveries are also signed with the previous ones for a while."""
    seconds = body(SigningKeyRotation())["previous_key_expires_in"]
    return answer(_key_set(store().signing_keys.rotate(seconds)))


def _key_set(keys: Sequence[SigningKey]) -> dict[str, Any]:
    return {"keys": [_shown(key) for key in keys]}


def _shown(key: SigningKey) -> dict[str, Any]:
    """Return a public key as a JSON Web Key (RFC 8037), and in the form that Standard Webhooks uses."""
    x = base64.urlsafe_b64encode(key.public).rstrip(b"=").decode()
    thumbprint = hashlib.sha256(orjson.dumps({"crv": "Ed25519", "kty": "OKP", "x": x})).digest()  # RFC 7638
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode(),
        "x": x,
        "public_key": "whpk_" + base64.b64encode(key.public).decode(),
        "created_at": iso(key.created_at * 1000),
        "expires_at": None if key.expires_at is None else iso(key.expires_at * 1000),
    }
