"""What may be sent to `/v1/subscriptions`. Contract §4."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from flask import current_app
from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate, validates_schema

from app.addresses import UrlRefused
from app.bodies import Body
from app.events.types import EVENT_TYPES, PUNCH_TYPES, is_pattern
from app.store.subscriptions import SECRET_PREFIX

FORMATS = ("flat", "cloudevents", "raw")
HIDDEN = "…"  # what is shown of a header's value; sent back, it leaves the value as it is
_MOST_FILTERED = 1_000
_LONGEST_DELAY = 600
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]{0,2000}")
_OWN_HEADERS = (
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "user-agent",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
)


class TargetUrl(fields.String):
    """A URL that the address guard lets through, in the form it returns: the only one that is sent to."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            url: str = current_app.extensions["guard"].check_url(text)
        except UrlRefused as error:
            raise ValidationError(str(error)) from None
        return url


def _check_event(value: str) -> None:
    if not is_pattern(value):
        raise ValidationError(
            f"is no event type; there are *, {', '.join(EVENT_TYPES)}, and families like user.*"
        )


def _check_secret(value: str) -> None:
    try:
        key = base64.b64decode(value.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not value.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise ValidationError("is not whsec_ and the Base64 of 24 to 64 bytes; leave it out and one is made")


def _check_headers(value: dict[str, str]) -> None:
    if len(value) > 20:
        raise ValidationError("has more than 20 headers")
    for name, text in value.items():
        lower = name.lower()
        if not _HEADER_NAME.fullmatch(name) or lower in _OWN_HEADERS or lower.startswith("webhook-"):
            raise ValidationError(f"{name[:64]!r} is not a header that can be set, e.g. Authorization can")
        if text != HIDDEN and not _HEADER_VALUE.fullmatch(text):
            raise ValidationError(
                f"the value of {name!r} has a line break or another character no header may have"
            )


class Filters(Schema):
    """Which devices, users, kinds of punch and commands; empty lists let all through."""

    class Meta:
        unknown = RAISE

    device_ids = fields.List(fields.String(), allow_none=True, validate=validate.Length(max=_MOST_FILTERED))
    user_ids = fields.List(fields.String(), allow_none=True, validate=validate.Length(max=_MOST_FILTERED))
    punch_types = fields.List(
        fields.String(validate=validate.Length(1, 64)), allow_none=True, validate=validate.Length(max=50)
    )
    command_ids = fields.List(fields.String(), allow_none=True, validate=validate.Length(max=_MOST_FILTERED))


class SubscriptionBody(Schema):
    """What is sent to make or change a subscription."""

    class Meta:
        unknown = RAISE

    target_url = TargetUrl(required=True)
    events = fields.List(fields.String(validate=_check_event), required=True, validate=validate.Length(1, 50))
    filters = fields.Nested(Filters, load_default=dict)
    format = fields.String(load_default="flat", validate=validate.OneOf(FORMATS))
    description = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))
    secret = fields.String(load_default=None, allow_none=True, validate=_check_secret)
    headers = fields.Dict(
        keys=fields.String(), values=fields.String(), load_default=dict, validate=_check_headers
    )
    max_in_flight = fields.Integer(load_default=16, strict=True, validate=validate.Range(1, 100))
    batch_max = fields.Integer(load_default=1, strict=True, validate=validate.Range(1, 500))
    batch_wait_ms = fields.Integer(load_default=500, strict=True, validate=validate.Range(0, 60_000))
    include_card_numbers = fields.Boolean(load_default=False)

    @pre_load
    def names_of_platforms(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Zapier's `hookUrl` and a single `event` are taken too."""
        data = dict(data)
        if "hookUrl" in data:
            data.setdefault("target_url", data.pop("hookUrl"))
        if "event" in data:
            data.setdefault("events", [data.pop("event")])
        for name in ("filters", "headers"):
            if name in data and data[name] is None:
                data[name] = {}
        return data

    @validates_schema
    def no_unknown_punch_type(self, data: dict[str, Any], **_: Any) -> None:
        unknown = set(data.get("filters", {}).get("punch_types") or ()) - set(PUNCH_TYPES)
        odd = [name for name in unknown if not re.fullmatch(r"[a-z0-9_]+", name)]
        if odd:
            raise ValidationError(
                f"{odd[0]!r} is no punch type; there are {', '.join(PUNCH_TYPES)}", "filters.punch_types"
            )


class TestBody(Body):
    """Which made-up event to send, and when."""

    event_type = fields.String(metadata={"examples": [EVENT_TYPES[0]]})
    delay_seconds = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, _LONGEST_DELAY))


class ReplayBody(Schema):
    """Which events: a time range of receipt, or their ids; `bat_…` is a batch that failed, sent as it was."""

    class Meta:
        unknown = RAISE

    since = fields.String()
    until = fields.String()
    event_ids = fields.List(fields.String(), validate=validate.Length(1, 1_000))
