"""The instant triggers. Each has its own webhook, which creates a subscription at the relay when it is attached."""

from __future__ import annotations

from dataclasses import dataclass

from app.events.types import COMMAND_ENDS
from app.openapi.make.base import KEY
from app.openapi.make.component import CONNECTION, Component, module
from app.openapi.make.forms import DEVICES, Fields, given, interface, options, sample, sentence
from app.openapi.vocabulary import Json

GROUP = "Events"
TOKEN_HEADER = "x-webhook-secret"

# Make accepts 30 deliveries per second for all webhooks, and a device that was offline sends thousands of punches.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger. It subscribes to `events` or, if `choice` is a parameter's name, to those that the user chooses."""

    name: str
    label: str
    description: str
    events: tuple[str, ...]
    choice: str = ""
    filters: tuple[str, ...] = ("device_ids", "user_ids")


TRIGGERS = (
    Trigger(
        "newPunch",
        "Watch punches",
        "Triggers when someone punches in or out on a device.",
        ("attendance.punch",),
        filters=("device_ids", "user_ids", "punch_types"),
    ),
    Trigger(
        "newAttendancePhoto",
        "Watch attendance photos",
        "Triggers when a device takes a photo when a user punches.",
        ("attendance.photo",),
    ),
    Trigger(
        "attendanceDayChanged",
        "Watch updated attendance days",
        "Triggers when a person's day changes: first in, last out, hours or a missing punch.",
        ("attendance.day_changed",),
        filters=("user_ids",),
    ),
    Trigger(
        "userUpdated",
        "Watch new and updated users",
        "Triggers when a user is added or changed on a device.",
        ("user.updated",),
    ),
    Trigger(
        "userDeleted",
        "Watch deleted users",
        "Triggers when a user is deleted on a device.",
        ("user.deleted",),
    ),
    Trigger(
        "credentialUpdated",
        "Watch new and updated credentials",
        "Triggers when a user's card, PIN, fingerprint, face, palm or photo is added or changed on a device.",
        ("credential.updated",),
        filters=("device_ids", "user_ids", "include_card_numbers"),
    ),
    Trigger(
        "deviceClockChanged",
        "Watch updated device clocks",
        "Triggers when a device's clock is changed.",
        ("device.time_changed",),
        filters=("device_ids",),
    ),
    Trigger(
        "deviceSilentOrBack",
        "Watch silent and returning devices",
        "Triggers when a device hasn't been in contact for a while during its working hours, and when it is "
        "back.",
        ("device.silent", "device.back"),
        choice="events",
        filters=("device_ids",),
    ),
    Trigger(
        "userUnknown",
        "Watch unknown users",
        "Triggers when someone punches who is neither a known user of the device nor in the list of employees.",
        ("user.unknown",),
    ),
    Trigger(
        "commandFinished",
        "Watch finished commands",
        "Triggers when a command to a device ends, whether successfully or not.",
        tuple(COMMAND_ENDS.values()),
        choice="events",
    ),
    Trigger(
        "watchAnyEvent",
        "Watch events",
        "Triggers when an event of the selected types arrives, or any event if no type is selected.",
        ("*",),
        choice="events",
        filters=("device_ids", "user_ids", "punch_types", "include_card_numbers"),
    ),
)


def components(catalog: Json) -> list[Component]:
    """Return a webhook and an instant trigger for each trigger."""
    return [made for trigger in TRIGGERS for made in (_webhook(trigger, catalog), _module(trigger, catalog))]


# The webhook


def _webhook(trigger: Trigger, catalog: Json) -> Component:
    asked = _filters(catalog)
    codes = {
        "communication": _communication(),
        "params": [
            *([_choice(trigger, catalog)] if trigger.choice else []),
            *(asked[name] for name in trigger.filters),
        ],
        "attach": _attach(trigger),
        "update": _update(trigger),
        "detach": {"url": _SUBSCRIPTION, "method": "DELETE"},
    }
    return Component(
        "webhook", trigger.name, trigger.label, codes, {"webhookType": "web", "connection": CONNECTION}
    )


def _filters(catalog: Json) -> dict[str, Json]:
    return {
        "device_ids": {
            "name": "device_ids",
            "label": "Devices",
            "type": "select",
            "multiple": True,
            "options": DEVICES,
            "help": "Only events for these devices. If none is selected, events for all devices.",
        },
        "user_ids": {
            "name": "user_ids",
            "label": "User IDs",
            "type": "array",
            "spec": {"label": "User ID", "type": "text"},
            "labels": {"add": "Add User ID"},
            "help": "Only events about these users, by their IDs on the device. If empty, events about all users.",
        },
        "punch_types": {
            "name": "punch_types",
            "label": "Punch types",
            "type": "select",
            "multiple": True,
            "options": options(catalog["punch_types"]),
            "help": "Only punches of these types. If none is selected, punches of all types.",
        },
        "include_card_numbers": {
            "name": "include_card_numbers",
            "label": "Include card numbers",
            "type": "boolean",
            "help": "Whether to fill the field **Card number**. The API key requires the scope `templates:read`.",
        },
    }


def _choice(trigger: Trigger, catalog: Json) -> Json:
    every = [{"label": sentence(event["label"]), "value": event["type"]} for event in catalog["events"]]
    if trigger.events == ("*",):
        shown = [{"label": "All events", "value": "*"}, *every]
    else:
        shown = [option for option in every if option["value"] in trigger.events]
    return {
        "name": trigger.choice,
        "label": "Events",
        "type": "select",
        "multiple": True,
        "required": True,
        "options": shown,
        "default": list(trigger.events),
        "help": "The events that start the scenario.",
    }


def _attach(trigger: Trigger) -> Json:
    body: Json = {
        "target_url": "{{webhook.url}}",
        **_wanted(trigger),
        "batch_max": _BATCH,
        "token_header": TOKEN_HEADER,
        "description": f"Make: {trigger.label}",
    }
    return {
        "url": "/v1/subscriptions",
        "method": "POST",
        "body": body,
        "response": {"data": {"externalHookId": "{{body.id}}", "token": "{{body.token}}"}},
        "log": {"sanitize": _HIDDEN},
    }


def _update(trigger: Trigger) -> Json:
    return {"url": _SUBSCRIPTION, "method": "PATCH", "body": _wanted(trigger), "log": {"sanitize": _HIDDEN}}


def _wanted(trigger: Trigger) -> Json:
    """Return the subscription's fields from the form. Empty fields are sent, because PATCH ignores missing fields."""

    def said(name: str, instead: str) -> str:
        return f"{{{{ifempty(parameters.{name}, {instead})}}}}"

    made: Json = {
        "event_types": given(trigger.choice) if trigger.choice else list(trigger.events),
        "filters": {name: said(name, "null") for name in trigger.filters if name != _CARDS},
    }
    return {**made, _CARDS: said(_CARDS, "false")} if _CARDS in trigger.filters else made


_CARDS = "include_card_numbers"
_SUBSCRIPTION = "/v1/subscriptions/{{webhook.externalHookId}}"
_HIDDEN = [
    KEY,
    "request.body.target_url",
    "response.body.target_url",
    "response.body.secret",
    "response.body.token",
]


def _communication() -> Json:
    """Return how a delivery, an array of events, is checked and split into bundles.

    Make's IML can't read the raw body, so the signature can't be checked. Instead, a header must contain the token
    that the relay generated and `attach` stored. Here, Make offers the stored values as `data`, not as `webhook`.
    """
    return {
        "verification": {
            "condition": f"{{{{!data.token || headers.`{TOKEN_HEADER}` != data.token}}}}",
            "respond": {
                "status": 401,
                "type": "json",
                "body": {"message": "The delivery doesn't contain this webhook's token."},
            },
        },
        "iterate": "{{body}}",
        "output": "{{item}}",
    }


# The module


def _module(trigger: Trigger, catalog: Json) -> Component:
    values = event_values(catalog, trigger.events)
    codes = {
        "communication": {},
        "mappableParams": [],
        "interface": interface(values),
        "samples": sample(values),
    }
    return module(
        "instant_trigger",
        trigger.name,
        trigger.label,
        trigger.description,
        GROUP,
        codes,
        webhook=trigger.name,
    )


def event_values(catalog: Json, types: tuple[str, ...] = ("*",)) -> Fields:
    """Return the fields of events of these types without duplicates. A field comes from the first type that has it."""
    found: dict[str, Json] = {}
    for event in catalog["events"]:
        if event["type"] in types or types == ("*",):
            for value in event["fields"]:
                found.setdefault(value["name"], value)
    return list(found.values())
