"""The request bodies of `/v1/devices`. Contract §5."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import RAISE, ValidationError, fields, missing, pre_load

from app.base import working_hours
from app.base.request_schema import Body, Flag, Length, OneOf, Pattern, Range, Time
from app.gateway.cipher import SecurityKey
from app.gateway.legacy_callbacks import CHOICES, OFF
from app.schemas.target_url import TargetUrl
from app.store.devices.registry import DIRECTIONS, MODES

_NO_TOKEN = "is not a valid AuthToken. Copy the 32 characters from the API Monitor"
_LONGEST_OVERLAP = timedelta(days=30)
LONGEST_DEVICE_ID = 64
# "." and ".." would change the path of a URL
_ID_PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}"
_ID = Pattern(
    _ID_PATTERN,
    1,
    LONGEST_DEVICE_ID,
    error="is not a valid Service Tag ID. Use 1 to 64 letters, digits, dots or dashes, e.g. ZHM1100001",
)


def is_device_id(text: str) -> bool:
    """Whether a device can have this ID."""
    return re.fullmatch(_ID_PATTERN, text) is not None


def _check_token(value: str) -> None:
    if not value.isascii() or not value.isprintable():
        raise ValidationError(_NO_TOKEN)


def _check_security_key(value: str) -> None:
    try:
        SecurityKey(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


_SECURITY_KEY = Length(
    max=32, then=_check_security_key, error="must be exactly 32 bytes long in UTF-8 (AES-256)"
)


def is_timezone(name: str) -> bool:
    """Return whether a time zone with this name exists."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _check_timezone(value: str) -> None:
    if not is_timezone(value):
        raise ValidationError("is not an IANA time zone, e.g. Asia/Kolkata")


def _check_working_hours(value: str) -> None:
    try:
        working_hours.parse(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def _check_old_until(value: datetime) -> None:
    now = datetime.now(UTC)
    if not now < value <= now + _LONGEST_OVERLAP:
        raise ValidationError(
            f"must be within the next {_LONGEST_OVERLAP.days} days, e.g. "
            f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
        )


class DeviceBody(Body):
    """The body that registers a device."""

    device_id = fields.String(required=True, validate=_ID, metadata={"examples": ["ZHM1100001"]})
    auth_token = fields.String(required=True, validate=Length(32, 32, then=_check_token, error=_NO_TOKEN))
    gateway_url = TargetUrl(load_default=None, allow_none=True)
    security_key = fields.String(load_default=None, allow_none=True, validate=_SECURITY_KEY)
    label = fields.String(load_default=None, allow_none=True, validate=Length(max=200))
    serial_number = fields.String(load_default=None, allow_none=True, validate=Length(max=100))
    mode = fields.String(load_default="native", validate=OneOf(MODES))
    timezone = fields.String(load_default="UTC", validate=Length(max=64, then=_check_timezone))
    direction = fields.String(load_default="by_type", validate=OneOf(DIRECTIONS))
    same_visit_seconds = fields.Integer(
        load_default=None, allow_none=True, strict=True, validate=Range(0, 3_600)
    )
    silent_after_minutes = fields.Integer(
        load_default=None, allow_none=True, strict=True, validate=Range(0, 43_200)
    )
    working_hours = fields.String(
        load_default=None,
        allow_none=True,
        validate=Length(max=working_hours.LONGEST, then=_check_working_hours),
    )
    require_callback_secret = Flag(load_default=False)
    legacy_callbacks = fields.String(load_default=OFF, validate=OneOf(CHOICES))
    simulated = Flag(load_default=False)


class DeviceChange(DeviceBody):
    """The body that changes a device."""

    class Meta:
        unknown = RAISE
        exclude = ("device_id",)

    security_key_old_until = Time(allow_none=True, validate=_check_old_until)

    @pre_load
    def give_defaults(self, values: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Replace null with the default of a new device, because null removes a value (RFC 7396)."""
        defaults = {
            name: field.load_default
            for name, field in self.fields.items()
            if field.load_default is not missing
        }
        return {name: defaults.get(name) if value is None else value for name, value in values.items()}
