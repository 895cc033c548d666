"""The request bodies of `/v1/api-keys`. Contract §5."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app.base.request_schema import Body, Length, OneOf, Range, Time
from app.store.access.scopes import FOR_ALL_DEVICES, SCOPES

_DAY = 86_400


def _in_future(value: datetime) -> None:
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValidationError(
            "is too far in the future. To create a key that doesn't expire, leave it out"
        ) from None
    if value <= datetime.now(UTC):
        raise ValidationError("is in the past. To create a key that doesn't expire, leave it out")


class KeyBody(Body):
    """The body that creates a key."""

    name = fields.String(required=True, validate=Length(1, 100), metadata={"examples": ["n8n"]})
    scopes = fields.List(
        fields.String(validate=OneOf(SCOPES)),
        required=True,
        validate=Length(1, len(SCOPES)),
        metadata={"examples": [["events:read", "subscriptions:write"]]},
    )
    device_ids = fields.List(
        fields.String(validate=Length(1, 64)),
        load_default=None,
        allow_none=True,
        validate=Length(1, 100),
        metadata={"examples": [["ZHM1100001"]]},
    )
    expires_at = Time(
        load_default=None,
        allow_none=True,
        validate=_in_future,
        metadata={"examples": ["2036-11-24T00:00:00Z"]},
    )

    @validates_schema(skip_on_field_errors=True)
    def no_unlimited_scope(self, data: dict[str, Any], **_: Any) -> None:
        unlimited = [name for name in FOR_ALL_DEVICES if name in data.get("scopes", ())]
        if data.get("device_ids") is not None and unlimited:
            raise ValidationError(
                f"{unlimited[0]} can't be limited to devices. Leave out this scope or device_ids", "scopes"
            )


class KeyRotation(Body):
    """The body that gives a key a new secret."""

    previous_key_expires_in = fields.Integer(
        load_default=_DAY, strict=True, validate=Range(0, 30 * _DAY), metadata={"examples": [_DAY]}
    )
