"""The JSON bodies of requests as JSON Schema, from the marshmallow schemas that check them."""

from __future__ import annotations

from marshmallow import missing

from app.attendance.employees import MOST, EmployeeRow
from app.openapi.body_texts import (
    CORRECTION_TEXTS,
    DEVICE_CHANGE_TEXTS,
    DEVICE_TEXTS,
    EMPLOYEE_TEXTS,
    KEY_ROTATION_TEXTS,
    KEY_TEXTS,
    PREVIEW_TEXTS,
    REPLAY_TEXTS,
    SIGNING_KEY_ROTATION_TEXTS,
    SUBSCRIPTION_TEXTS,
    TEST_TEXTS,
)
from app.openapi.field_mapping import CONSTANT, DESCRIPTION, field_mapping
from app.openapi.json_schema import change_of, described
from app.openapi.vocabulary import Json
from app.schemas.api_keys import KeyBody, KeyRotation
from app.schemas.corrections import CorrectionBody
from app.schemas.devices import DeviceBody, DeviceChange
from app.schemas.signing_keys import SigningKeyRotation
from app.schemas.subscriptions import PreviewBody, ReplayBody, SubscriptionBody, TestBody
from app.store.subscriptions.signing import DEFAULT_SIGNATURES

_PREVIEWED = ("format", "field_mapping", "template")


def _null_is_the_default(body: Json) -> Json:
    """Allow null in a PATCH body for fields that can't be empty. It sets the field's default (RFC 7396)."""
    for field in DeviceChange().fields.values():
        if field.load_default not in (None, missing) and field.name:
            part = body["properties"][field.name]
            part["type"] = [part["type"], "null"]
            if "enum" in part:
                part["enum"] = [*part["enum"], None]
    return body


DEVICE = described(DeviceBody(), DEVICE_TEXTS, gateway_url="uri")
DEVICE_CHANGE = _null_is_the_default(
    change_of(
        described(DeviceChange(), DEVICE_CHANGE_TEXTS, gateway_url="uri", security_key_old_until="date-time")
    )
)
SUBSCRIPTION = described(SubscriptionBody(), SUBSCRIPTION_TEXTS, target_url="uri")
SUBSCRIPTION["properties"]["signatures"] |= {"default": list(DEFAULT_SIGNATURES)}
# Generators of clients would call it EventType, which is another schema.
SUBSCRIPTION["properties"]["event_types"]["items"]["title"] = "EventPattern"
SUBSCRIPTION["properties"]["field_mapping"] = field_mapping(DESCRIPTION)
SUBSCRIPTION_CHANGE = change_of(SUBSCRIPTION, *SubscriptionBody.ONCE)
REPLAY = described(ReplayBody(), REPLAY_TEXTS, since="date-time", until="date-time")
TEST = described(TestBody(), TEST_TEXTS)
PREVIEW = described(PreviewBody(), {name: SUBSCRIPTION_TEXTS[name] for name in _PREVIEWED} | PREVIEW_TEXTS)
PREVIEW["properties"]["field_mapping"] = field_mapping(DESCRIPTION)
KEY = described(KeyBody(), KEY_TEXTS)
# Generators of models would call it DeviceId, which is the name of a filter's device ID, with another limit.
KEY["properties"]["device_ids"]["items"]["title"] = "ApiKeyDeviceId"
KEY_CHANGE = change_of(KEY, "scopes", "device_ids")
KEY_ROTATION = described(KeyRotation(), KEY_ROTATION_TEXTS)
SIGNING_KEY_ROTATION = described(SigningKeyRotation(), SIGNING_KEY_ROTATION_TEXTS)
CORRECTION = described(CorrectionBody(), CORRECTION_TEXTS)
EMPLOYEE = described(EmployeeRow(), EMPLOYEE_TEXTS)
EMPLOYEE_CHANGE = described(EmployeeRow(exclude=("user_id", "device_id")), EMPLOYEE_TEXTS)
EMPLOYEE_PATCH = change_of(EMPLOYEE_CHANGE)
EMPLOYEES: Json = {
    "type": "object",
    "properties": {
        "employees": {
            "type": "array",
            "items": {"title": "EmployeeRow", **EMPLOYEE},
            "maxItems": MOST,
            "description": "The employees. Each user ID may appear once per device, and once without a device.",
            "examples": [[{name: example for name, (_, example) in EMPLOYEE_TEXTS.items()}]],
        }
    },
    "required": ["employees"],
    "additionalProperties": False,
}

COMPONENTS: dict[str, Json] = {
    "DeviceBody": DEVICE,
    "DeviceChange": DEVICE_CHANGE,
    "SubscriptionBody": SUBSCRIPTION,
    "SubscriptionChange": SUBSCRIPTION_CHANGE,
    "FieldMappingConstant": CONSTANT,
    "ReplayBody": REPLAY,
    "TestBody": TEST,
    "PreviewBody": PREVIEW,
    "ApiKeyBody": KEY,
    "ApiKeyChange": KEY_CHANGE,
    "ApiKeyRotation": KEY_ROTATION,
    "SigningKeyRotation": SIGNING_KEY_ROTATION,
    "EmployeeChange": EMPLOYEE_CHANGE,
    "CorrectionBody": CORRECTION,
    "EmployeePatch": EMPLOYEE_PATCH,
    "EmployeesBody": EMPLOYEES,
}
