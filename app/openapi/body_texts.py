"""Descriptions and examples of the fields of request bodies."""

from __future__ import annotations

from typing import Any

from app.openapi.field_mapping import DESCRIPTION, EXAMPLE

DEVICE_TEXTS: dict[str, tuple[str, Any]] = {
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
    "same_visit_seconds": (
        "A person's punch on this device less than this many seconds after another counts as the same one in the "
        "attendance view. 0 counts every punch; null uses RELAY_SAME_VISIT_SECONDS.",
        300,
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
DEVICE_CHANGE_TEXTS: dict[str, tuple[str, Any]] = {
    **DEVICE_TEXTS,
    "security_key_old_until": (
        "When the previous Security Key stops being accepted, at most 30 days ahead. null stops it immediately. If "
        "you change security_key without this field, the previous key is accepted for 24 hours.",
        "2026-11-25T09:00:00Z",
    ),
}
SUBSCRIPTION_TEXTS: dict[str, tuple[str, Any]] = {
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
    "template": (
        "The text of a message, for the formats slack, teams, google_chat, discord and text. {{user_name}} is "
        "replaced by the event's field, {{user_name|user_id}} by the first one that has a value, and {{sentence}} by "
        "the sentence that is sent without a template.",
        "{{user_name|user_id}} at {{device_label}}, {{local_time}}",
    ),
    "description": ("A description of its purpose.", "Punches to payroll"),
    "secret": (
        "Secret for verifying deliveries: whsec_ followed by the Base64 of 24 to 64 bytes. If this is left out, one "
        "is generated.",
        "whsec_bm8gcmVhbCBzZWNyZXQsIGp1c3QgbWFkZSB1cA==",
    ),
    "headers": ("Headers to send with each delivery, at most 20.", {"X-Team": "payroll"}),
    "token_header": (
        "Name of a header whose value the relay generates and sends with each delivery, for tools that can't verify "
        "signatures. The response contains the value as `token`.",
        "X-Token",
    ),
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
    "signatures": (
        "How to sign deliveries: hmac (v1) with the secret, ed25519 (v1a) with the relay's key pair, or both. The "
        "public keys are at /.well-known/jwks.json.",
        ["hmac", "ed25519"],
    ),
    "include_card_numbers": ("Whether to send card numbers. Requires the scope templates:read.", False),
    "expires_in": (
        "Seconds until the subscription is deleted automatically. If null, it doesn't expire.",
        86_400,
    ),
}
REPLAY_TEXTS: dict[str, tuple[str, Any]] = {
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
PREVIEW_TEXTS: dict[str, tuple[str, Any]] = {
    "event_type": ("Type of the sample event.", "attendance.punch"),
}
TEST_TEXTS: dict[str, tuple[str, Any]] = {
    "event_type": (
        "Type of the test event. The default is the subscription's first type.",
        "attendance.punch",
    ),
    "delay_seconds": (
        "Delay in seconds. If the subscription is deleted in the meantime, nothing is sent.",
        0,
    ),
}
KEY_TEXTS: dict[str, tuple[str, Any]] = {
    "name": ("A name for the key, such as the app that uses it.", "n8n"),
    "scopes": ("Scopes of the key.", ["events:read", "subscriptions:write"]),
    "device_ids": (
        "The only devices that the key may access, at most 100. If null or left out, it may access all devices.",
        ["ZHM1100001"],
    ),
    "expires_at": ("When the key expires (ISO 8601). By default, it never expires.", "2036-11-24T00:00:00Z"),
}
SIGNING_KEY_ROTATION_TEXTS: dict[str, tuple[str, Any]] = {
    "previous_key_expires_in": ("Seconds that the previous keys also sign. 0 ends them now.", 86_400),
}
KEY_ROTATION_TEXTS: dict[str, tuple[str, Any]] = {
    "previous_key_expires_in": ("Seconds that the previous secret stays valid. 0 ends it now.", 86_400),
}

CORRECTION_TEXTS: dict[str, tuple[str, Any]] = {
    "kind": (
        "added: a punch that is missing. changed: another time or direction. excluded: the punch doesn't count. "
        "restored: it counts again as the device reported it.",
        "changed",
    ),
    "user_id": ("The person's user ID on the devices.", "2"),
    "punch_id": (
        "The punch to correct, from its event or from `GET /v1/punches`. Required unless kind is added.",
        "pun_5f0c1b2a3d4e",
    ),
    "device_id": (
        "Only if kind is added, and then required: the device that the punch is added to.",
        "ZHM1100001",
    ),
    "punched_at": (
        "The punch's time (ISO 8601). Without an offset, it is the local time at the device. Required if kind is "
        "added.",
        "2026-11-24T18:00:00+05:30",
    ),
    "direction": ("in or out. If kind is changed and it is left out, it stays as it is.", "out"),
    "reason": ("Why the punch is corrected.", "Forgot to punch out."),
    "author": ("Who corrects it. By default, the name of the API key.", "Meera Iyer"),
}

EMPLOYEE_TEXTS: dict[str, tuple[str, Any]] = {
    "user_id": ("The user's ID on the devices.", "2"),
    "employee_id": ("The company's ID for the employee.", "EMP-0042"),
    "name": ("The employee's name. If null or left out, the name on the device is used.", "Asha Rao"),
    "device_id": (
        "Only if the user ID belongs to another person on this device. If null or left out, the entry is for all "
        "devices.",
        "ZHM1100001",
    ),
}
