"""Request bodies and events as JSON Schema, from the marshmallow schemas, with added descriptions and examples."""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, missing

from app.attendance.employees import MOST, EmployeeRow
from app.attendance.rules import COLUMNS
from app.events.samples import sample
from app.events.types import COMMAND_ENDS, EVENT_TYPES, SCHEMAS, AttendanceDayChanged, AttendancePunch
from app.gateway.operations import CREDENTIAL_FIELDS
from app.openapi.field_mapping import CONSTANT, DESCRIPTION, EXAMPLE, field_mapping
from app.openapi.titles import pascal
from app.openapi.vocabulary import Json, timed
from app.schemas.actions import Action
from app.schemas.api_keys import KeyBody, KeyRotation
from app.schemas.devices import DeviceBody, DeviceChange
from app.schemas.subscriptions import ReplayBody, SubscriptionBody, TestBody


def _no_name(_schema: type[Schema]) -> str:
    """Return no name, so that apispec writes a nested schema where it is used."""
    return ""


_PLUGIN = MarshmallowPlugin(schema_name_resolver=_no_name)
APISpec("", "", "3.1.0", plugins=[_PLUGIN])  # sets the plugin's OpenAPI version

# The fields of an event that a row of LoadLog's result doesn't have (workers/commands/load_log.py).
_ROW_LACKS = ("id", "type", "received_at", "test", "revision", "operation", "operation_id")

_DEVICE_TEXTS: dict[str, tuple[str, Any]] = {
    "device_id": ("The device's Service Tag ID (stgid) at the gateway.", "ZHM1100001"),
    "auth_token": (
        "The device's AuthToken from the API Monitor, exactly 32 characters. It is never shown again. A PATCH "
        "must include the current one if it changes the origin of gateway_url, changes or removes "
        "security_key, or sets require_callback_secret to false.",
        "made-up-token-of-32-characters-.",
    ),
    "gateway_url": (
        "The RESTful endpoint URL from the API Monitor, with or without ?stgid=. Required for actions.",
        "https://robot.camsunit.com/external/api3.0/biometric",
    ),
    "security_key": (
        "The Security Key, 32 bytes, if one is set in the API Monitor. It is never shown again.",
        "made-up-security-key-of-32-bytes",
    ),
    "label": ("A name for the device.", "Front Door"),
    "serial_number": ("The device's serial number.", "ZHM1100001"),
    "mode": (
        "How the device is connected. hybrid_db and hybrid_file only report attendance and accept no actions.",
        "native",
    ),
    "timezone": (
        "The device's IANA time zone. It is used for times without an offset, days in the attendance view and "
        "working hours.",
        "Asia/Kolkata",
    ),
    "direction": (
        "Direction of the device's punches. by_type follows the type of each punch. in or out applies to all of "
        "them, for a device at an entrance or exit that has no buttons and sends every punch as CheckIn.",
        "by_type",
    ),
    "silent_after_minutes": (
        "Minutes without contact during working hours after which device.silent is published. 0 turns this "
        "off; null uses RELAY_SILENT_AFTER_MINUTES.",
        60,
    ),
    "working_hours": (
        "Hours during which contact is expected, in the device's time zone, as comma-separated parts; null "
        "uses RELAY_WORKING_HOURS.",
        "Mon-Fri 08:00-18:00",
    ),
    "require_callback_secret": (
        "Accept callbacks only if their URL contains the device's secret, ?k=…. The relay generates the "
        "secret and shows it once, in the callback_url of this response.",
        True,
    ),
    "legacy_callbacks": (
        "Older version of the Web API that the device uses. Its callbacks are then accepted, in addition to "
        "those of 3.0. Version 1.0 has no AuthToken, so 1.0 also sets require_callback_secret to true.",
        "off",
    ),
    "simulated": (
        "Whether this is a simulated device, whatever its ID is. The device and its users are marked as simulated, "
        "and attendance files leave out its punches.",
        False,
    ),
}
_DEVICE_CHANGE_TEXTS: dict[str, tuple[str, Any]] = {
    **_DEVICE_TEXTS,
    "security_key_old_until": (
        "When the previous Security Key stops being accepted, at most 30 days ahead. null stops it immediately. If "
        "you change security_key without this field, the previous key is accepted for 24 hours.",
        "2026-11-25T09:00:00Z",
    ),
}
_CREDENTIALS = frozenset(CREDENTIAL_FIELDS.values()) | {"fingerprint_index", "face_index", "palm_index"}
_SUBSCRIPTION_TEXTS: dict[str, tuple[str, Any]] = {
    "target_url": (
        "URL that events are sent to with POST. `hookUrl` is also accepted.",
        "https://hooks.example.com/punches",
    ),
    "event_types": (
        "Event types, families such as user.*, or * for all. `events`, the name in earlier versions, and `event`, for "
        "a single type, are also accepted.",
        ["attendance.punch"],
    ),
    "filters": ("Filters by device, user, punch type or command.", {"device_ids": ["ZHM1100001"]}),
    "device_ids": ("Only these devices, or all devices if the list is empty.", ["ZHM1100001"]),
    "user_ids": ("Only these users, or all users if the list is empty.", ["100"]),
    "punch_types": (
        "Only these punch types, e.g. check_in, or all types if the list is empty.",
        ["check_in"],
    ),
    "command_ids": (
        "Only the results of these commands, or of all commands if the list is empty.",
        ["cmd_004h3gw8x2m1k6p9r5t7v3y2b1"],
    ),
    "format": (
        "flat is the event itself, cloudevents wraps it in CloudEvents 1.0, and raw is the gateway's JSON "
        "without secrets. slack, teams, google_chat and discord are messages for incoming webhooks of these platforms. "
        "text is a line of text, and form is the event as an HTML form.",
        "flat",
    ),
    "field_mapping": (DESCRIPTION, EXAMPLE),
    "description": ("A description of its purpose.", "Punches to payroll"),
    "secret": (
        "Secret for verifying deliveries: whsec_ followed by the Base64 of 24 to 64 bytes. If this is left out, one "
        "is generated.",
        "whsec_bm8gcmVhbCBzZWNyZXQsIGp1c3QgbWFkZSB1cA==",
    ),
    "headers": ("Headers to send with each delivery, at most 20.", {"X-Team": "payroll"}),
    "max_in_flight": (
        "Maximum number of deliveries in progress at once. With 1, deliveries are in strict order.",
        16,
    ),
    "batch_max": (
        "Maximum number of events per delivery. If it is above 1, the body is an array, or a message with a line per "
        "event. It must be 1 for the format form.",
        1,
    ),
    "batch_wait_ms": ("How long a batch waits for more events, in milliseconds.", 500),
    "include_card_numbers": ("Whether to send card numbers. Requires the scope templates:read.", False),
    "expires_in": (
        "Seconds until the subscription is deleted automatically. If null, it doesn't expire.",
        86_400,
    ),
}
_REPLAY_TEXTS: dict[str, tuple[str, Any]] = {
    "since": (
        "Replay events received at this time or later (ISO 8601). Required unless event_ids is given.",
        "2026-11-24T00:00:00Z",
    ),
    "until": (
        "Replay events received at this time or earlier (ISO 8601). The default is the current time.",
        "2026-11-25T00:00:00Z",
    ),
    "event_ids": ("Replay these events instead of a time range.", ["evt_01kay8ds0r000000"]),
}
_TEST_TEXTS: dict[str, tuple[str, Any]] = {
    "event_type": (
        "Type of the test event. The default is the subscription's first type.",
        "attendance.punch",
    ),
    "delay_seconds": (
        "Delay in seconds. If the subscription is deleted in the meantime, nothing is sent.",
        0,
    ),
}
_KEY_TEXTS: dict[str, tuple[str, Any]] = {
    "name": ("A name for the key, such as the app that uses it.", "n8n"),
    "scopes": ("Scopes of the key.", ["events:read", "subscriptions:write"]),
    "expires_at": ("When the key expires (ISO 8601). By default, it never expires.", "2036-11-24T00:00:00Z"),
}
_KEY_ROTATION_TEXTS: dict[str, tuple[str, Any]] = {
    "previous_key_expires_in": ("Seconds that the previous secret stays valid. 0 ends it now.", 86_400),
}

_EMPLOYEE_TEXTS: dict[str, tuple[str, Any]] = {
    "user_id": ("The user's ID on the devices.", "2"),
    "employee_id": ("The company's ID for the employee.", "EMP-0042"),
    "name": ("The employee's name. If null or left out, the name on the device is used.", "Asha Rao"),
    "device_id": (
        "Only if the user ID belongs to another person on this device. If null or left out, the entry is for all "
        "devices.",
        "ZHM1100001",
    ),
}


def _json_schema(schema: Schema) -> Json:
    assert _PLUGIN.converter is not None
    made: Json = _PLUGIN.converter.schema2jsonschema(schema)  # type: ignore[no-untyped-call]
    made["properties"] = {name: timed(name, part) for name, part in made["properties"].items()}
    if made.get("required"):
        made["required"] = [name for name in made["properties"] if name in made["required"]]
    return made


def _described(schema: Schema, texts: dict[str, tuple[str, Any]], **formats: str) -> Json:
    """Add a description and an example to each field of a body. Raises KeyError for a field without them."""

    def describe(properties: dict[str, Json]) -> dict[str, Json]:
        made = {}
        for name, part in properties.items():
            description, example = texts[name]
            part = {
                key: value
                for key, value in part.items()
                if key != "examples" and (key, value) != ("default", None)
            }
            part |= {"description": description, "examples": [example]}
            if name in formats:
                part["format"] = formats[name]
            if "properties" in part:
                part["properties"] = describe(part["properties"])
            made[name] = part
        return made

    made = _json_schema(schema)
    return {**made, "properties": describe(made["properties"])}


def _null_is_the_default(body: Json) -> Json:
    """Allow null in a PATCH body for fields that can't be empty. It sets the field's default (RFC 7396)."""
    for field in DeviceChange().fields.values():
        if field.load_default not in (None, missing) and field.name:
            part = body["properties"][field.name]
            part["type"] = [part["type"], "null"]
            if "enum" in part:
                part["enum"] = [*part["enum"], None]
    return body


def _change_of(body: Json, *fixed: str) -> Json:
    """Return the body of a PATCH. Missing fields don't change, so no field is required or has a default."""
    parts = {
        name: {key: value for key, value in part.items() if key != "default"}
        for name, part in body["properties"].items()
        if name not in fixed
    }
    rest = {key: value for key, value in body.items() if key not in ("required", "properties")}
    return {**rest, "properties": parts}


DEVICE = _described(DeviceBody(), _DEVICE_TEXTS, gateway_url="uri")
DEVICE["properties"]["device_id"] |= {"pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"}
DEVICE["properties"]["auth_token"] |= {"minLength": 32, "maxLength": 32}
DEVICE_CHANGE = _null_is_the_default(
    _change_of(
        _described(
            DeviceChange(), _DEVICE_CHANGE_TEXTS, gateway_url="uri", security_key_old_until="date-time"
        )
    )
)
DEVICE_CHANGE["properties"]["auth_token"] |= {"minLength": 32, "maxLength": 32}
SUBSCRIPTION = _described(SubscriptionBody(), _SUBSCRIPTION_TEXTS, target_url="uri")
SUBSCRIPTION["properties"]["field_mapping"] = field_mapping(DESCRIPTION)
SUBSCRIPTION_CHANGE = _change_of(SUBSCRIPTION, "secret")
REPLAY = _described(ReplayBody(), _REPLAY_TEXTS, since="date-time", until="date-time")
TEST = _described(TestBody(), _TEST_TEXTS)
KEY = _described(KeyBody(), _KEY_TEXTS)
KEY_CHANGE = _change_of(KEY, "scopes")
KEY_ROTATION = _described(KeyRotation(), _KEY_ROTATION_TEXTS)
EMPLOYEE = _described(EmployeeRow(), _EMPLOYEE_TEXTS)
EMPLOYEE_CHANGE = _described(EmployeeRow(exclude=("user_id", "device_id")), _EMPLOYEE_TEXTS)
EMPLOYEE_PATCH = _change_of(EMPLOYEE_CHANGE)
EMPLOYEES: Json = {
    "type": "object",
    "properties": {
        "employees": {
            "type": "array",
            "items": {"title": "EmployeeRow", **EMPLOYEE},
            "maxItems": MOST,
            "description": "The employees. Each user ID may appear once per device, and once without a device.",
            "examples": [[{name: example for name, (_, example) in _EMPLOYEE_TEXTS.items()}]],
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
    "ApiKeyBody": KEY,
    "ApiKeyChange": KEY_CHANGE,
    "ApiKeyRotation": KEY_ROTATION,
    "EmployeeChange": EMPLOYEE_CHANGE,
    "EmployeePatch": EMPLOYEE_PATCH,
    "EmployeesBody": EMPLOYEES,
}


# Event types with the same fields share a schema, because a parser can't tell identical schemas apart.
_SAME_FIELDS = dict.fromkeys(COMMAND_ENDS.values(), "CommandEndedEvent")


def event_schemas() -> dict[str, Json]:
    """Return the schemas of all event types by name."""
    types: dict[str, list[str]] = {}
    for event_type in EVENT_TYPES:
        types.setdefault(event_schema_name(event_type), []).append(event_type)
    return {name: event(*found) for name, found in types.items()}


def event_catalogue() -> list[Json]:
    """Return each event type with its meaning, JSON Schema and a sample."""
    return [
        {
            "type": name,
            "summary": schema.summary,
            "schema_version": 1,
            "deprecated": False,
            "schema": {key: value for key, value in event(name).items() if key != "examples"},
            "sample": sample(name),
        }
        for name, schema in SCHEMAS.items()
    ]


def event(*event_types: str) -> Json:
    """Return the schema shared by event types with the same fields."""
    made = _json_schema(SCHEMAS[event_types[0]]())
    made["properties"]["type"] |= {"enum": list(event_types), "examples": [event_types[0]]}
    made["examples"] = [sample(event_type) for event_type in event_types]
    # Subscribers must accept fields that later versions add.
    return {key: value for key, value in made.items() if key != "additionalProperties"}


def event_schema_name(event_type: str) -> str:
    """Return the name of an event type's schema: `attendance.punch` → `AttendancePunchEvent`."""
    return _SAME_FIELDS.get(event_type) or f"{pascal(event_type)}Event"


def punch_row() -> Json:
    """Return the schema of a row of LoadLog's result: a punch without the fields that only an event has."""
    made = {"title": "PunchRow", **_json_schema(AttendancePunch(exclude=_ROW_LACKS))}
    return {key: value for key, value in made.items() if key != "additionalProperties"}


def attendance_row() -> Json:
    """Return the schema of a row of the attendance view: that of its event without the fields that only events have."""
    made = _json_schema(AttendanceDayChanged(only=COLUMNS))
    made["properties"] = {name: made["properties"][name] for name in COLUMNS}
    return {key: value for key, value in made.items() if key != "additionalProperties"}


def action_body(action: Action) -> Json:
    """Return the flat body of an action, using only keywords that GPT actions and Gemini support.

    So no field can be null (although the relay accepts null), and `additionalProperties` is left out (although the
    relay refuses unknown fields).
    """
    made = _json_schema(action.schema())
    made.pop("additionalProperties", None)
    for part in made["properties"].values():
        if isinstance(part["type"], list):
            part["type"] = next(kind for kind in part["type"] if kind != "null")
        if "enum" in part:
            part["enum"] = [value for value in part["enum"] if value is not None]
        if "pattern" in part:
            part["pattern"] = f"^{part['pattern'].removesuffix(chr(92) + 'Z')}$"  # only Python has \Z
    return made


def described_body(action: Action) -> Json:
    """Return an action's body without examples of optional credentials, for the published description.

    Importers send the examples of all fields. Users would get a card and a PIN that nobody chose.
    """
    made = action_body(action)
    for name, part in made["properties"].items():
        if name not in made["required"] and name in _CREDENTIALS:
            del part["examples"]
    return made


def action_examples(action: Action) -> dict[str, Json]:
    """Return example bodies of an action by name."""
    properties = action_body(action)["properties"]
    full = {name: part["examples"][0] for name, part in properties.items()}
    if action.operation is not None:
        return {"example": full}
    # add-user has three: a typical body, one with card and PIN, and one with every field.
    person = {name: full[name] for name in ("device_id", "user_id", "first_name", "last_name", "user_type")}
    card = {name: full[name] for name in (CREDENTIAL_FIELDS["card"], CREDENTIAL_FIELDS["password"])}
    return {"profile_only": person, "card_and_pin": {**person, **card}, "everything": full}
