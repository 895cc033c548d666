"""The request bodies of `/v1/subscriptions`. Contract §4."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from marshmallow import ValidationError, fields, pre_load, validates_schema

from app.base.request_schema import LONGEST_TIME, Body, Length, OneOf, Range
from app.events.formats import FORMATS
from app.events.templates import LONGEST, TemplateError, parse
from app.events.types import EVENT_TYPES, PUNCH_TYPES, is_pattern
from app.schemas.field_mapping import check_field_mapping
from app.schemas.target_url import TargetUrl
from app.store.subscriptions.signing import DEFAULT_SIGNATURES, SECRET_PREFIX, SIGNATURES

HIDDEN = "…"  # shown instead of a header's value; if it is sent back, the value doesn't change
MOST_HEADERS = 20
_MOST_FILTERED = 1_000
_LONGEST_FILTERED = 256
_LONGEST_TYPE = 64
_LONGEST_ID = 128  # of an event or a batch
_LONGEST_SECRET = len(SECRET_PREFIX) + 88  # the Base64 of 64 bytes
_LONGEST_DELAY = 600
_LONGEST_LIFE = 365 * 86_400
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\x80-\xff]*")
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


def _check_event(value: str) -> None:
    if not is_pattern(value):
        raise ValidationError(
            f"is not an event type. Use *, a family such as user.*, or one of: {', '.join(EVENT_TYPES)}"
        )


def _check_secret(value: str) -> None:
    try:
        key = base64.b64decode(value.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not value.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise ValidationError(
            "must be whsec_ followed by the Base64 of 24 to 64 bytes. To have a secret "
            "generated, leave it out"
        )


def _check_header_name(name: str) -> None:
    lower = name.lower()
    if not _HEADER_NAME.fullmatch(name) or lower in _OWN_HEADERS or lower.startswith("webhook-"):
        raise ValidationError(f"{name[:64]!r} can't be set as a header. Use a name such as Authorization")


def _check_headers(value: dict[str, str | None]) -> None:
    if sum(text is not None for text in value.values()) > MOST_HEADERS:
        raise ValidationError(f"has more than {MOST_HEADERS} headers")
    for name, text in value.items():
        _check_header_name(name)
        if text is not None and text != HIDDEN and not _HEADER_VALUE.fullmatch(text):
            raise ValidationError(
                f"the value of {name!r} contains a line break or another character that isn't allowed in a "
                "header"
            )


def _rename(data: dict[str, Any], other: str, name: str) -> None:
    """Move a field from its alias `other` to `name`. Raises ValidationError if both are sent with different values."""
    if other in data:
        value = data.pop(other)
        if data.setdefault(name, value) != value:
            raise ValidationError(
                f"is another name for {name}, which has another value. Send one of them", other
            )


def _check_template(value: str) -> None:
    try:
        parse(value)
    except TemplateError as error:
        raise ValidationError(str(error)) from None
    if not value.strip():
        raise ValidationError("is empty. To send the usual sentences, send null instead of the template")


def _format() -> fields.Field[Any]:
    return fields.String(load_default="flat", validate=OneOf(FORMATS))


def _field_mapping() -> fields.Field[Any]:
    return fields.Dict(
        keys=fields.String(),
        values=fields.Raw(allow_none=True),
        load_default=None,
        allow_none=True,
        validate=check_field_mapping,
        metadata={"examples": [{"emp_code": "user_id"}]},
    )


def _template() -> fields.Field[Any]:
    return fields.String(
        load_default=None,
        allow_none=True,
        validate=Length(max=LONGEST, then=_check_template),
        metadata={"examples": ["{{user_name}} at {{device_label}}"]},
    )


class Filters(Body):
    """The filters by device, user, punch type and command. An empty list matches everything."""

    device_ids = fields.List(
        fields.String(validate=Length(max=_LONGEST_FILTERED)),
        allow_none=True,
        validate=Length(max=_MOST_FILTERED),
        metadata={"examples": [["ZHM1100001"]]},
    )
    user_ids = fields.List(
        fields.String(validate=Length(max=_LONGEST_FILTERED)),
        allow_none=True,
        validate=Length(max=_MOST_FILTERED),
        metadata={"examples": [["2"]]},
    )
    punch_types = fields.List(
        fields.String(validate=Length(1, 64)),
        allow_none=True,
        validate=Length(max=50),
        metadata={"examples": [["check_in"]]},
    )
    command_ids = fields.List(
        fields.String(validate=Length(max=_LONGEST_FILTERED)),
        allow_none=True,
        validate=Length(max=_MOST_FILTERED),
        metadata={"examples": [["cmd_004h3gw8x2m1k6p9r5t7v3y2b1"]]},
    )


class SubscriptionBody(Body):
    """The body that creates or changes a subscription. `secret` and `token_header` can't be changed (`ONCE`)."""

    ONCE = ("secret", "token_header")

    target_url = TargetUrl(required=True, metadata={"examples": ["https://hooks.example.com/punches"]})
    event_types = fields.List(
        fields.String(validate=Length(max=_LONGEST_TYPE, then=_check_event)),
        required=True,
        validate=Length(1, 50),
        attribute="events",
        metadata={"examples": [["attendance.punch"]]},
    )
    filters = fields.Nested(Filters, load_default=dict)
    format = _format()
    field_mapping = _field_mapping()
    template = _template()
    description = fields.String(load_default=None, allow_none=True, validate=Length(max=500))
    secret = fields.String(
        load_default=None, allow_none=True, validate=Length(max=_LONGEST_SECRET, then=_check_secret)
    )
    headers = fields.Dict(
        keys=fields.String(),
        values=fields.String(allow_none=True, validate=Length(max=2_000)),
        load_default=dict,
        allow_none=True,
        validate=_check_headers,
        metadata={"examples": [{"X-Team": "payroll"}]},
    )
    token_header = fields.String(
        load_default=None,
        allow_none=True,
        validate=Length(max=64, then=_check_header_name),
        metadata={"examples": ["X-Token"]},
    )
    max_in_flight = fields.Integer(load_default=16, strict=True, validate=Range(1, 100))
    batch_max = fields.Integer(load_default=1, strict=True, validate=Range(1, 500))
    batch_wait_ms = fields.Integer(load_default=500, strict=True, validate=Range(0, 60_000))
    signatures = fields.List(
        fields.String(validate=OneOf(SIGNATURES)),
        load_default=lambda: list(DEFAULT_SIGNATURES),
        validate=Length(1, len(SIGNATURES)),
        metadata={"examples": [["hmac", "ed25519"]]},
    )
    include_card_numbers = fields.Boolean(load_default=False)
    expires_in = fields.Integer(
        load_default=None, allow_none=True, strict=True, validate=Range(60, _LONGEST_LIFE)
    )

    @pre_load
    def names_of_platforms(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Accept aliases: Zapier's `hookUrl`, a single `event`, and `events`, the name in earlier versions."""
        data = dict(data)
        _rename(data, "hookUrl", "target_url")
        _rename(data, "events", "event_types")
        if "event" in data:
            data["event"] = [data["event"]]
            _rename(data, "event", "event_types")
        if data.get("filters", "") is None:
            data["filters"] = dict.fromkeys(Filters().fields)
        for name, value in list(data.items()):  # null resets a field to its default (RFC 7396)
            known = self.fields.get(name)
            if value is None and known is not None and not known.required and not known.allow_none:
                default = known.load_default
                data[name] = default() if callable(default) else default
        return data

    @validates_schema
    def token_header_fits(self, data: dict[str, Any], **_: Any) -> None:
        token_header = data.get("token_header")
        if token_header and token_header.lower() in {name.lower() for name in data.get("headers") or ()}:
            message = "is also in `headers`. Remove it there, because the relay generates its value"
            raise ValidationError(message, "token_header")
        if (
            token_header
            and sum(text is not None for text in (data.get("headers") or {}).values()) == MOST_HEADERS
        ):
            raise ValidationError(
                f"can't be added, because `headers` already has {MOST_HEADERS}, the maximum", "token_header"
            )

    @validates_schema
    def no_unknown_punch_type(self, data: dict[str, Any], **_: Any) -> None:
        unknown = set(data.get("filters", {}).get("punch_types") or ()) - set(PUNCH_TYPES)
        odd = [name for name in unknown if not re.fullmatch(r"[a-z0-9_]+", name)]
        if odd:
            message = f"{odd[0]!r} is not a punch type. Use one of: {', '.join(PUNCH_TYPES)}"
            raise ValidationError({"filters": {"punch_types": [message]}})


class PreviewBody(Body):
    """The body that previews a delivery: the format with its options, and the type of the sample event."""

    format = _format()
    field_mapping = _field_mapping()
    template = _template()
    event_type = fields.String(
        load_default=EVENT_TYPES[0],
        validate=OneOf(EVENT_TYPES),
        metadata={"examples": [EVENT_TYPES[0]]},
    )


class TestBody(Body):
    """The body that sends a sample event: its type, and the delay in seconds."""

    event_type = fields.String(validate=Length(max=_LONGEST_TYPE), metadata={"examples": [EVENT_TYPES[0]]})
    delay_seconds = fields.Integer(load_default=0, strict=True, validate=Range(0, _LONGEST_DELAY))


class ReplayBody(Body):
    """The body that starts a replay: a range of times of receipt, or event IDs.

    An ID `bat_…` is that of a failed batch, which is sent again unchanged.
    """

    since = fields.String(validate=Length(max=LONGEST_TIME), metadata={"examples": ["2026-11-24T00:00:00Z"]})
    until = fields.String(validate=Length(max=LONGEST_TIME), metadata={"examples": ["2026-11-25T00:00:00Z"]})
    event_ids = fields.List(
        fields.String(validate=Length(max=_LONGEST_ID)),
        validate=Length(1, 1_000),
        metadata={"examples": [["evt_01kay8ds0r000000"]]},
    )
