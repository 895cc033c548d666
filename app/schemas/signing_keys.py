"""The request body of `/v1/signing-keys/rotate`."""

from __future__ import annotations

from marshmallow import fields

from app.base.request_schema import Body, Range

_DAY = 86_400


class SigningKeyRotation(Body):
    """The body that creates a new signing key."""

    previous_key_expires_in = fields.Integer(
        load_default=_DAY, strict=True, validate=Range(0, 30 * _DAY), metadata={"examples": [_DAY]}
    )
