"""The permissions of each scope, and what each public or signed URL reveals and does.

Two tables in docs/security.md are generated from it. test_scopes.py fails if a route or scope is missing here.
"""

from __future__ import annotations

from typing import NamedTuple


class Holder(NamedTuple):
    """The permissions of one scope: what its holder can read, do and not do, as texts."""

    learns: str
    causes: str
    not_: str


class Url(NamedTuple):
    """One URL: what its caller can read, and the effect of a call (empty for none), as texts."""

    learns: str
    causes: str = ""


HOLDERS: dict[str, Holder] = {
    "no key": Holder(
        "Version, health and warnings. The API's description. With a signed link: a photo, or an unrecognised body "
        "without its secrets",
        "Store callbacks, with a device's AuthToken (and its callback secret, if required), or with the callback "
        "secret alone if the device's `legacy_callbacks` is `1.0`",
        "Read anything else. Alter a link or extend its life",
    ),
    "events:read": Holder(
        "All events, and the attendance computed from them. Names and employee IDs. Photos. Which credentials a user "
        "has (type, size, keyed digest, last four digits of a card). Devices with their gateway_url and the last four "
        "characters of their AuthToken. Refused callbacks: address, claimed device ID, last four characters of the "
        "AuthToken. The host of disabled subscriptions' targets",
        "Open event streams. Photo links that it received keep working for seven days, even after the key is deleted",
        "Read card numbers, PINs, templates, whole unrecognised bodies, AuthTokens or Security Keys",
    ),
    "people:read": Holder(
        "Users and employees: names, user IDs, employee IDs, and which credentials each user has (type, size, keyed "
        "digest, last four digits of a card). The attendance computed from their punches",
        "Nothing",
        "Read events, photos, card numbers, PINs or templates. Change anything",
    ),
    "subscriptions:read": Holder(
        "All subscriptions, with the host of their target and the names of their headers. The status of deliveries, "
        "and the IDs of the events delivered",
        "Nothing",
        "Read events, secrets or header values. Subscribe, replay or change anything",
    ),
    "subscriptions:write": Holder(
        "Every event, by subscribing to it. All subscriptions, with target_url and the names of their headers. The "
        "secrets that it creates or rotates. The status of deliveries. The first 2 KiB of what a target answered "
        "to a failed attempt, if the target's address is public and the subscription has neither headers nor card "
        "numbers",
        "Send events to any address outside the relay's own network. Send replays and test events to any "
        "subscription. Change, disable or remove any subscription. Header values are sent only to the host they were "
        "set for, but the path on that host can be changed",
        "Read existing secrets or header values. Without templates:read: have card numbers sent, or change which ones "
        "are sent or where. Replay an event to a subscription that doesn't match it",
    ),
    "devices:read": Holder(
        "Devices, their settings and counters, with their gateway_url and the last four characters of their AuthToken. "
        "Refused callbacks: address, claimed device ID, last four characters of the AuthToken",
        "Nothing",
        "Read events, users or secrets. Change a device or send it a command",
    ),
    "devices:write": Holder(
        "Devices, their settings and counters. Refused callbacks: address, claimed device ID, last four characters of "
        "the AuthToken. The callback secrets that it creates or rotates",
        "Register devices. Change their label, mode, time zone or AuthToken. Remove them with their users and "
        "templates. Change the list of employees. Correct punches",
        "Read an AuthToken, Security Key, PIN, card or template. The AuthToken that the device had is needed to change "
        "the gateway's origin, to replace or remove the Security Key, to stop requiring the callback secret, and to "
        "register a removed device ID with another gateway. An AuthToken set with such a key isn't "
        "enough: admin is then required. Commands queued before a new registration, or before both the AuthToken and "
        "the gateway's origin were replaced, are not sent",
    ),
    "actions:read": Holder(
        "Devices, as above. All commands, and which key sent them. Their results: device information, and the punches "
        "that load-log returned",
        "Send commands that only read. Publish punches that the relay missed, with load-log and publish",
        "Read what was sent with a command (PINs, cards, templates). Change anything on a device",
    ),
    "actions:write": Holder(
        "The results of commands that need this scope. In the console: names and IDs of devices",
        "Add, change, enrol, disable or delete users on any device, including a device's administrators. Make the "
        "gateway send callbacks again. Cancel commands that need this scope",
        "Read PINs, cards or templates. Delete all users, logs or photos",
    ),
    "actions:destructive": Holder(
        "The results of commands that need this scope",
        "Delete all users, logs or photos on a device, with confirm: true. Each such command is audited",
        "Read anything else",
    ),
    "templates:read": Holder(
        "A user's card number, PIN, fingerprint, face, palm or photo, one at a time. With their links: whole "
        "unrecognised bodies, which contain the AuthToken. Each read is audited before it is answered",
        "With subscriptions:write: have card numbers sent to a webhook. The host is audited",
        "List users or events: that needs events:read",
    ),
    "metrics:read": Holder(
        "IDs of devices and subscriptions, counters, times, versions, warnings",
        "Nothing",
        "Read names, user IDs, events or secret settings",
    ),
    "admin": Holder(
        "Everything that the other scopes can read. Names and scopes of API keys. The audit log",
        "Everything that the other scopes can do. Create, change, rotate and delete API keys of any scope",
        "Read an API key, AuthToken, Security Key or subscription's secret after it was created. (A whole unrecognised "
        "body does contain an AuthToken)",
    ),
}

_PAGE = "what the API shows to the session's key"
_EVENTS = "events"
_ATTENDANCE = "user IDs, names, employee IDs, times, devices"
_DOCUMENT = "the API's description; no stored data"
_SUBSCRIPTION = "a subscription without its secret and header values, and the ID of the key that created it"
_COMMAND = "a command and its result, but not what was sent"

URLS: dict[str, Url] = {
    "POST /callback": Url(
        "whether the AuthToken, Security Key and callback secret are right", "the device's events are stored"
    ),
    "POST /callback/<device_id>": Url("the same", "the same"),
    "GET /health": Url("version, state of the store, warnings"),
    "GET /metrics": Url("IDs of devices and subscriptions, counters"),
    "GET /openapi.json": Url(_DOCUMENT),
    "GET /openapi.yaml": Url(_DOCUMENT),
    "GET /postman.json": Url(_DOCUMENT),
    "GET /docs": Url(_DOCUMENT),
    "GET /docs/errors": Url("what the codes of errors mean"),
    "GET /docs/<name>": Url("a file of the description's page"),
    "GET /photos/<blob_id>": Url("one photo, with a signed link"),
    "GET /bodies/<blob_id>": Url(
        "one body, with a signed link: without secrets, or whole with templates:read (audited)"
    ),
    "GET /v1/me": Url("the key's own name and scopes, the version"),
    "GET /v1/api-keys": Url("names, scopes and last four characters of keys, and when each was last used"),
    "POST /v1/api-keys": Url("the new key, once", "a key with any scopes is created (audited)"),
    "GET /v1/api-keys/<key_id>": Url("the same for one key"),
    "PATCH /v1/api-keys/<key_id>": Url("the key", "its name, or when it expires (audited)"),
    "GET /.well-known/jwks.json": Url("the public keys that verify deliveries"),
    "POST /v1/signing-keys/rotate": Url(
        "the public keys",
        "deliveries are signed with a new key, and the previous ones expire (audited)",
    ),
    "POST /v1/api-keys/<key_id>/rotate": Url(
        "the new secret, once", "the key gets a new secret, and the previous one expires (audited)"
    ),
    "DELETE /v1/api-keys/<key_id>": Url(
        "whether it existed",
        "the key and its sessions end, and if requested the subscriptions it created (audited)",
    ),
    "GET /v1/audit": Url("who did what, to whom and where"),
    "GET /v1/refused": Url(
        "addresses that sent refused callbacks, the device IDs they claim, and the last four characters of AuthTokens"
    ),
    "GET /v1/events": Url(_EVENTS),
    "GET /v1/events.csv": Url(_EVENTS),
    "GET /v1/events/<event_id>": Url("one event, with a fresh link"),
    "GET /v1/event-types": Url("the event types, with made-up samples"),
    "GET /v1/events/samples": Url("up to three events: real ones, if there are any"),
    "GET /v1/events/stream": Url("new events, until the key is deleted or expires"),
    "GET /v1/attendance": Url(_ATTENDANCE),
    "GET /v1/attendance.csv": Url(_ATTENDANCE),
    "GET /v1/attendance.xlsx": Url(_ATTENDANCE),
    "GET /v1/attendance/<path:user_id>": Url(_ATTENDANCE),
    "GET /v1/attendance/<path:user_id>.csv": Url(_ATTENDANCE),
    "GET /v1/attendance/<path:user_id>.xlsx": Url(_ATTENDANCE),
    "GET /v1/punches": Url("the punches of a person's day, with their corrections"),
    "GET /v1/corrections": Url("a person's corrections: times, reasons and authors"),
    "GET /v1/corrections/<correction_id>": Url("the same for one correction"),
    "POST /v1/corrections": Url(
        "the correction, with the time that the device reported",
        "a punch counts differently for attendance (audited); the event `attendance.corrected` is published",
    ),
    "GET /v1/users": Url("profiles, and which credentials each user has, without their data"),
    "GET /v1/users/<path:user_id>": Url("the same for one user"),
    "GET /v1/users/<path:user_id>/credentials/<credential_type>/<int:index>": Url(
        "one credential's data (audited)"
    ),
    "GET /v1/employees": Url("user IDs, employee IDs, names"),
    "GET /v1/employees/<path:user_id>": Url("the same for one employee"),
    "POST /v1/employees": Url(
        "how many employees were added or changed", "employee IDs and names change in later events"
    ),
    "PUT /v1/employees": Url(
        "how many employees were added or changed", "the same; employees who aren't in the list are removed"
    ),
    "PUT /v1/employees/<path:user_id>": Url("the row as sent", "one employee is changed"),
    "PATCH /v1/employees/<path:user_id>": Url("the row", "one employee is changed"),
    "DELETE /v1/employees/<path:user_id>": Url("whether it existed", "one employee is removed"),
    "GET /v1/devices": Url("devices without their secrets"),
    "POST /v1/devices": Url(
        "the callback secret, once, if one is required",
        "a device is registered (audited, with its gateway's host)",
    ),
    "GET /v1/devices/<device_id>": Url("one device without its secrets"),
    "PATCH /v1/devices/<device_id>": Url(
        "the callback secret, once, when it is created",
        "the device is changed (audited). With its AuthToken: commands go to another host (audited with both)",
    ),
    "POST /v1/devices/<device_id>/rotate-callback-secret": Url(
        "the new callback secret, once", "the callback secret is replaced (audited)"
    ),
    "DELETE /v1/devices/<device_id>": Url(
        "whether it existed", "the device is removed with its users and templates (audited)"
    ),
    "POST /v1/actions/<name>": Url(
        "the command's result", "a command is sent to a device; each action needs its own scope"
    ),
    "GET /v1/commands": Url("all commands, without their results and what was sent"),
    "GET /v1/commands/<command_id>": Url(_COMMAND),
    "POST /v1/commands/<command_id>/cancel": Url(
        _COMMAND,
        "a queued command isn't sent, a waiting one isn't asked for; each action needs its own scope",
    ),
    "DELETE /v1/commands/<command_id>": Url(
        "whether it was already sent",
        "a queued command isn't sent, a waiting one isn't asked for; each action needs its own scope",
    ),
    "POST /v1/subscriptions": Url(
        "the subscription's secret and token, once", "events are sent to a URL (audited)"
    ),
    "GET /v1/subscriptions": Url(_SUBSCRIPTION),
    "GET /v1/subscriptions/<subscription_id>": Url(_SUBSCRIPTION),
    "PATCH /v1/subscriptions/<subscription_id>": Url(
        _SUBSCRIPTION, "events are sent elsewhere, or other events are sent (audited)"
    ),
    "DELETE /v1/subscriptions/<subscription_id>": Url("whether it existed", "deliveries end (audited)"),
    "GET /v1/subscriptions/<subscription_id>/deliveries": Url(
        "IDs and types of events, status and time of each attempt, and what targets answered, as above"
    ),
    "GET /v1/subscriptions/<subscription_id>/replays": Url("time ranges and progress of replays"),
    "GET /v1/deliveries/<delivery_id>": Url("the same for one delivery"),
    "POST /v1/deliveries/<delivery_id>/retry": Url("the same", "the delivery is attempted again"),
    "GET /v1/replays/<replay_id>": Url("the same for one replay"),
    "POST /v1/replays/<replay_id>/cancel": Url("the same", "the replay stops"),
    "POST /v1/subscriptions/<subscription_id>/disable": Url(
        _SUBSCRIPTION, "deliveries wait until it is enabled (audited)"
    ),
    "POST /v1/subscriptions/<subscription_id>/enable": Url(_SUBSCRIPTION, "deliveries resume (audited)"),
    "POST /v1/subscriptions/<subscription_id>/replay": Url(
        "the replay", "events that the subscription takes are sent again to its target"
    ),
    "POST /v1/subscriptions/<subscription_id>/rotate-secret": Url(
        "the new secret, once", "deliveries are signed with both secrets for a day (audited)"
    ),
    "POST /v1/subscriptions/preview": Url(
        "a made-up event in the format of a delivery", "nothing is sent or stored"
    ),
    "POST /v1/subscriptions/<subscription_id>/test": Url(
        "a made-up event", "that event is sent to the target"
    ),
    "GET /": Url(_PAGE),
    "GET /console/": Url("nothing: redirects to /"),
    "GET /console/<path:_page>": Url("nothing: 404"),
    "GET /console/sign-in": Url("an empty form"),
    "POST /console/sign-in": Url("whether a key is right (limited)", "a session of that key begins"),
    "POST /console/sign-out": Url("nothing", "the session ends"),
    "GET /console/static/<version>/<path:name>": Url("a file that the pages load"),
    "GET /console/actions": Url(_PAGE),
    "GET /console/actions/<name>": Url(_PAGE),
    "GET /console/actions/commands/<command_id>": Url(_COMMAND),
    "GET /console/attendance": Url(_PAGE),
    "GET /console/attendance/employees": Url(_PAGE),
    "POST /console/attendance/employees/import": Url(
        "how many employees were added or changed", "employee IDs and names change in later events"
    ),
    "POST /console/attendance/employees/preview": Url(
        "the columns and first rows of the file that was sent", "none (it only counts the changes)"
    ),
    "GET /console/attendance/people/<path:user_id>": Url(_PAGE),
    "GET /console/attendance/punches": Url(_PAGE),
    "GET /console/confirm/remove-device": Url(
        "what removing a device affects: the device, and how many users"
    ),
    "GET /console/confirm/<name>": Url("what a destructive command affects: the device, and how many users"),
    "GET /console/devices": Url(_PAGE),
    "GET /console/devices/<device_id>": Url(
        "the same, whether its events are delivered, and with actions:read what the device last reported about itself"
    ),
    "GET /console/devices/new": Url("an empty form"),
    "GET /console/events/<event_id>": Url(
        "the same, and the callback without secrets; with subscriptions:write also deliveries"
    ),
    "GET /console/health": Url(
        "versions, the store's size, counters, warnings; while the store can't be reached, what GET /health shows, "
        "to anyone"
    ),
    "GET /console/refused": Url(_PAGE),
    "GET /console/subscriptions": Url(_PAGE),
    "GET /console/subscriptions/<subscription_id>": Url(_PAGE),
    "GET /console/subscriptions/<subscription_id>/replay": Url("how many events a replay would send"),
    "GET /console/subscriptions/new": Url("an empty form"),
    "POST /console/simulator/clear": Url("nothing", "simulated devices are removed with their users"),
    "POST /console/virtual-device": Url("nothing", "the simulated device of `cams-relay up` starts"),
}
