"""Request bodies and events as JSON Schema: the program's own marshmallow schemas, with what documentation adds."""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from app.actions import Action
from app.api.api_keys import KeyBody
from app.api.devices import DeviceBody
from app.api.subscription_bodies import ReplayBody, SubscriptionBody, TestBody
from app.attendance import COLUMNS
from app.employees import MOST, EmployeeRow
from app.events.types import SCHEMAS, AttendanceDayChanged, AttendancePunch
from app.gateway.operations import CREDENTIAL_FIELDS
from app.openapi.parts import Json


def _no_name(_schema: type[Schema]) -> str:
    """No name of its own, so that a nested schema is written where it is used."""
    return ""


_PLUGIN = MarshmallowPlugin(schema_name_resolver=_no_name)
APISpec("", "", "3.1.0", plugins=[_PLUGIN])  # tells the plugin its version

# What a row of LoadLog's result lacks of an event (workers/load_log.py).
_ROW_LACKS = ("id", "type", "received_at", "test", "revision", "operation", "operation_id")

_DEVICE_TEXTS: dict[str, tuple[str, Any]] = {
    "device_id": ("The gateway's Service Tag ID (stgid) of the machine.", "ZHM1100001"),
    "auth_token": (
        "The device's AuthToken from the API Monitor, exactly 32 characters. Never shown again.",
        "made-up-token-of-32-characters-.",
    ),
    "gateway_url": (
        "The RESTful endpoint URL of the API Monitor, with or without ?stgid=. Needed for actions.",
        "https://robot.camsunit.com/external/api3.0/biometric",
    ),
    "security_key": (
        "The security key, 32 bytes, where one is set in the API Monitor. Never shown again.",
        "made-up-security-key-of-32-bytes",
    ),
    "label": ("A name of your own for the device.", "Front Door"),
    "serial_number": ("The machine's serial number.", "ZHM1100001"),
    "mode": (
        "How the machine is connected. hybrid_db and hybrid_file only report attendance: they take no actions.",
        "native",
    ),
    "timezone": (
        "The IANA time zone of times that come without an offset, of attendance's days and of working hours.",
        "Asia/Kolkata",
    ),
    "silent_after_minutes": (
        "Minutes of working hours without a word from it until device.silent is published; 0: never; null: "
        "RELAY_SILENT_AFTER_MINUTES.",
        60,
    ),
    "working_hours": (
        "When it is expected to be heard, by its time zone; parts separated by commas; null: RELAY_WORKING_HOURS.",
        "Mon-Fri 08:00-18:00",
    ),
}
_SUBSCRIPTION_TEXTS: dict[str, tuple[str, Any]] = {
    "target_url": (
        "Where events are sent with POST. `hookUrl` is taken too.",
        "https://hooks.example.com/punches",
    ),
    "events": (
        "Event types, families such as user.*, or * for all. A single `event` is taken too.",
        ["attendance.punch"],
    ),
    "filters": ("Only events of these devices, users or kinds of punch.", {"device_ids": ["ZHM1100001"]}),
    "device_ids": ("Only these devices; empty: all.", ["ZHM1100001"]),
    "user_ids": ("Only these users; empty: all.", ["100"]),
    "punch_types": ("Only these kinds of punch, e.g. check_in; empty: all.", ["check_in"]),
    "command_ids": ("Only the ends of these commands; empty: all.", ["cmd_004h3gw8x2m1k6p9r5t7v3y2b1"]),
    "format": (
        "flat: the event; cloudevents: CloudEvents 1.0 around it; raw: the gateway's JSON without its secrets.",
        "flat",
    ),
    "description": ("What it is for.", "Punches to payroll"),
    "secret": (
        "whsec_ and the Base64 of 24 to 64 bytes, to verify deliveries with; left out, one is made.",
        "whsec_bm8gcmVhbCBzZWNyZXQsIGp1c3QgbWFkZSB1cA==",
    ),
    "headers": ("Headers to send along, at most 20.", {"X-Team": "payroll"}),
    "max_in_flight": ("How many deliveries may be under way at once; with 1, in strict order.", 16),
    "batch_max": ("How many events a delivery may carry; above 1 its body is an array.", 1),
    "batch_wait_ms": ("How many milliseconds a batch waits to fill.", 500),
    "include_card_numbers": ("Send card numbers; needs the scope templates:read.", False),
}
_REPLAY_TEXTS: dict[str, tuple[str, Any]] = {
    "since": (
        "From this time of receipt (ISO 8601). Needed unless event_ids is there.",
        "2026-11-24T00:00:00Z",
    ),
    "until": ("Until this time of receipt (ISO 8601); left out: now.", "2026-11-25T00:00:00Z"),
    "event_ids": ("These events instead of a time range.", ["evt_01kay8ds0r000000"]),
}
_TEST_TEXTS: dict[str, tuple[str, Any]] = {
    "event_type": ("Of which type; left out: the first that is subscribed to.", "attendance.punch"),
    "delay_seconds": ("After how many seconds; nothing is sent to a subscription that is gone by then.", 0),
}
_KEY_TEXTS: dict[str, tuple[str, Any]] = {
    "name": ("Whose key it is.", "n8n"),
    "scopes": ("What it may do.", ["events:read", "subscriptions:write"]),
    "expires_at": ("When it ends working (ISO 8601); left out: never.", "2036-11-24T00:00:00Z"),
}

_EMPLOYEE_TEXTS: dict[str, tuple[str, Any]] = {
    "user_id": ("The user's ID on the devices.", "2"),
    "employee_id": ("What the company knows them by.", "EMP-0042"),
    "name": ("Their name; left out or null: what the device calls them.", "Asha Rao"),
}


def _json_schema(schema: Schema) -> Json:
    assert _PLUGIN.converter is not None
    made: Json = _PLUGIN.converter.schema2jsonschema(schema)  # type: ignore[no-untyped-call]
    if made.get("required"):
        made["required"] = [name for name in made["properties"] if name in made["required"]]
    return made


def _described(schema: Schema, texts: dict[str, tuple[str, Any]], **formats: str) -> Json:
    """A body with a description and an example for each field. A field without one raises KeyError."""

    def describe(properties: dict[str, Json]) -> dict[str, Json]:
        made = {}
        for name, part in properties.items():
            description, example = texts[name]
            part = {key: value for key, value in part.items() if (key, value) != ("default", None)}
            part |= {"description": description, "examples": [example]}
            if name in formats:
                part["format"] = formats[name]
            if "properties" in part:
                part["properties"] = describe(part["properties"])
            made[name] = part
        return made

    made = _json_schema(schema)
    return {**made, "properties": describe(made["properties"])}


def _change_of(body: Json, *fixed: str) -> Json:
    """The body of a PATCH: what is left out stays, so nothing is required and nothing has a default."""
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
DEVICE_CHANGE = _change_of(DEVICE, "device_id")
SUBSCRIPTION = _described(SubscriptionBody(), _SUBSCRIPTION_TEXTS, target_url="uri")
SUBSCRIPTION_CHANGE = _change_of(SUBSCRIPTION, "secret")
REPLAY = _described(ReplayBody(), _REPLAY_TEXTS, since="date-time", until="date-time")
TEST = _described(TestBody(), _TEST_TEXTS)
KEY = _described(KeyBody(), _KEY_TEXTS)
EMPLOYEE = _described(EmployeeRow(), _EMPLOYEE_TEXTS)
EMPLOYEE_CHANGE = _described(EmployeeRow(exclude=("user_id",)), _EMPLOYEE_TEXTS)
EMPLOYEES: Json = {
    "type": "object",
    "properties": {
        "employees": {
            "type": "array",
            "items": EMPLOYEE,
            "maxItems": MOST,
            "description": "The employees, each user ID once.",
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
    "ReplayBody": REPLAY,
    "TestBody": TEST,
    "ApiKeyBody": KEY,
    "EmployeeChange": EMPLOYEE_CHANGE,
    "EmployeesBody": EMPLOYEES,
}


def event(event_type: str) -> Json:
    """The schema of an event type."""
    made = _json_schema(SCHEMAS[event_type]())
    made["properties"]["type"] |= {"enum": [event_type], "examples": [event_type]}
    # A subscriber must bear with fields of a later version.
    return {key: value for key, value in made.items() if key != "additionalProperties"}


def event_schema_name(event_type: str) -> str:
    """`attendance.punch` → `AttendancePunchEvent`."""
    return "".join(word.title() for word in event_type.replace(".", "_").split("_")) + "Event"


def punch_row() -> Json:
    """A row of LoadLog's result: a punch without what only an event has."""
    made = _json_schema(AttendancePunch(exclude=_ROW_LACKS))
    return {key: value for key, value in made.items() if key != "additionalProperties"}


def attendance_row() -> Json:
    """A row of the attendance view: what its event has, without what only an event has."""
    made = _json_schema(AttendanceDayChanged(only=COLUMNS))
    made["properties"] = {name: made["properties"][name] for name in COLUMNS}
    return {key: value for key, value in made.items() if key != "additionalProperties"}


def action_body(action: Action) -> Json:
    """The flat body of an action, in the words that GPT actions and Gemini's function declarations take.

    So nothing is null (the relay bears with it) and `additionalProperties` is left out (the relay refuses
    unknown fields all the same).
    """
    made = _json_schema(action.schema())
    made.pop("additionalProperties", None)
    for part in made["properties"].values():
        if isinstance(part["type"], list):
            part["type"] = next(kind for kind in part["type"] if kind != "null")
        if "enum" in part:
            part["enum"] = [value for value in part["enum"] if value is not None]
        if "pattern" in part:
            part["pattern"] = f"^{part['pattern'].removesuffix(chr(92) + 'Z')}$"  # \Z is Python's
    return made


def action_examples(action: Action) -> dict[str, Json]:
    """Bodies that the action takes, by name."""
    properties = action_body(action)["properties"]
    full = {name: part["examples"][0] for name, part in properties.items()}
    if action.operation is not None:
        return {"example": full}
    # add-user: a usual one, and everything at once.
    person = {name: full[name] for name in ("device_id", "user_id", "first_name", "last_name", "user_type")}
    card = {name: full[name] for name in (CREDENTIAL_FIELDS["card"], CREDENTIAL_FIELDS["password"])}
    return {"card_and_pin": {**person, **card}, "profile_only": person, "everything": full}
