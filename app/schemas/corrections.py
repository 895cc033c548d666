"""The body of a correction of a punch."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app.attendance.corrections import KINDS
from app.base.request_schema import LONGEST_TIME, Body, Length, OneOf
from app.gateway.values import LONGEST_ID
from app.schemas.devices import LONGEST_DEVICE_ID

_LONGEST_REASON = 500
_LONGEST_AUTHOR = 100
# The fields of a new punch, which other kinds don't take.
_VALUES = ("punched_at", "direction")


_YEARS = range(1970, 9_999)  # beyond, a time can't be converted to another time zone


def _check_time(text: str) -> None:
    try:
        is_usable = datetime.fromisoformat(text).year in _YEARS
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValidationError("must be a time in ISO 8601, e.g. 2026-11-24T18:00:00+05:30")


class CorrectionBody(Body):
    """A correction: an added punch, or a change of one that exists."""

    kind = fields.String(required=True, validate=OneOf(KINDS), metadata={"examples": ["changed"]})
    user_id = fields.String(required=True, validate=Length(1, LONGEST_ID), metadata={"examples": ["2"]})
    punch_id = fields.String(validate=Length(1, 100), metadata={"examples": ["pun_5f0c1b2a3d4e"]})
    device_id = fields.String(validate=Length(1, LONGEST_DEVICE_ID), metadata={"examples": ["ZHM1100001"]})
    punched_at = fields.String(
        validate=Length(1, LONGEST_TIME, then=_check_time),
        metadata={"examples": ["2026-11-24T18:00:00+05:30"]},
    )
    direction = fields.String(allow_none=True, validate=OneOf(("in", "out")), metadata={"examples": ["out"]})
    reason = fields.String(
        required=True, validate=Length(1, _LONGEST_REASON), metadata={"examples": ["Forgot to punch out."]}
    )
    author = fields.String(validate=Length(1, _LONGEST_AUTHOR), metadata={"examples": ["Meera Iyer"]})

    @validates_schema(skip_on_field_errors=True)
    def check(self, values: dict[str, Any], **_: Any) -> None:
        """Check that the fields belong to the kind of correction."""
        kind = values.get("kind")
        if kind is None:
            return
        if not values.get("reason", "").strip():
            raise ValidationError("is empty", "reason")
        needed = ("device_id", "punched_at") if kind == "added" else ("punch_id",)
        for name in needed:
            if name not in values:
                raise ValidationError(f"is required if kind is {kind}", name)
        others: tuple[str, ...] = ("punch_id",) if kind == "added" else ("device_id",)
        if kind in ("excluded", "restored"):
            others += _VALUES
        for name in others:
            if name in values:
                raise ValidationError(f"is not allowed if kind is {kind}", name)
        if kind == "changed" and not any(name in values for name in _VALUES):
            raise ValidationError("is required, or direction, if kind is changed", "punched_at")
