"""The modules that read from the relay: searches, which read page by page, and modules that return one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.events.types import EVENT_TYPES
from app.gateway.operations import CREDENTIAL_FIELDS
from app.openapi import schemas
from app.openapi.catalog import title, values
from app.openapi.make import forms
from app.openapi.make.base import KEY
from app.openapi.make.commands import GROUPS, limit
from app.openapi.make.component import Component, by_hand, module
from app.openapi.make.triggers import GROUP, event_values
from app.openapi.vocabulary import Json
from app.store.commands.records import STATUSES

COMMANDS = "Commands"
EVENT = "Event"

_PAGE = 200
_TITLES = {"password": "PIN"}

# Parameters


def _choice(name: str, label: str, choices: tuple[str, ...], help_text: str, **more: Any) -> Json:
    shown = [{"label": _TITLES.get(value, forms.sentence(title(value))), "value": value} for value in choices]
    return {"name": name, "label": label, "type": "select", "options": shown, "help": help_text, **more}


DEVICE: Json = {
    "name": "device_id",
    "label": "Device",
    "type": "select",
    "options": forms.DEVICES,
    "help": "Only events for this device.",
}
_THE_DEVICE: Json = {**DEVICE, "required": True, "help": "Which device."}
_USER: Json = {
    "name": "user_id",
    "label": "User ID",
    "type": "text",
    "help": "Only events about this user, by the user's ID on the device.",
}
_THE_USER: Json = {**_USER, "required": True, "help": "The user's ID on the device."}
_USER_THERE: Json = {**_THE_USER, "type": "select", "options": forms.USERS}
_EVENT: Json = {
    "name": "event_id",
    "label": "Event ID",
    "type": "text",
    "required": True,
    "help": "The ID of an event, e.g. `evt_01kay8ds0r000000`.",
}
_TYPE = _choice("type", "Type", EVENT_TYPES, "Only events of this type.")
_SINCE: Json = {
    "name": "since",
    "label": "Since",
    "type": "date",
    "help": "Only events received at this time or later.",
}
_UNTIL: Json = {
    **_SINCE,
    "name": "until",
    "label": "Until",
    "help": "Only events received at this time or earlier.",
}
_OCCURRED_SINCE: Json = {
    **_SINCE,
    "name": "occurred_since",
    "label": "Occurred since",
    "help": "Only events that occurred at this time or later, such as punches by their own time.",
}
_OCCURRED_UNTIL: Json = {
    **_SINCE,
    "name": "occurred_until",
    "label": "Occurred until",
    "help": "Only events that occurred at this time or earlier.",
}
_COMMAND: Json = {
    "name": "command_id",
    "label": "Command ID",
    "type": "text",
    "required": True,
    "help": "The command ID from the output of another module of this app.",
}
_STATUS = _choice("status", "Status", STATUSES, "Only commands with this status.")
_WAIT: Json = {
    "name": "wait",
    "label": "Wait until it ends",
    "type": "boolean",
    "default": False,
    "help": "Checks every 3 seconds for up to 30 seconds.",
}
_INDEX: Json = {
    "name": "credential_index",
    "label": "Index",
    "type": "uinteger",
    "default": 0,
    "help": "The credential's index, for example which finger. `0` if the type has no index.",
}

# Requests


def _list(path: str, *filters: Json) -> Json:
    """Return the request of a search with these filters. Make reads further pages as needed."""
    asked = {
        field["name"]: forms.when(field["name"]) if field["type"] == "date" else forms.given(field["name"])
        for field in filters
    }
    return {
        "url": path,
        "qs": {**asked, "limit": _PAGE},
        "response": {"iterate": "{{body.data}}", "output": "{{item}}", "limit": "{{parameters.limit}}"},
        "pagination": {"qs": {"cursor": "{{body.next_cursor}}"}, "condition": "{{body.next_cursor}}"},
    }


def one(path: str, **more: Any) -> Json:
    return {"url": path, **more, "response": {"output": "{{body}}"}}


_OF_DEVICE = {"device_id": forms.given("device_id")}
_THE_COMMAND = "/v1/commands/{{parameters.command_id}}"
# `repeat` can only use `temp`, and doesn't support expressions for numbers.
_FOLLOWED: Json = {
    "url": _THE_COMMAND,
    "response": {
        "temp": {
            "again": "{{parameters.wait && (body.status == 'queued' || body.status == 'sending' "
            "|| body.status == 'waiting')}}"
        },
        "output": "{{body}}",
    },
    "repeat": {"condition": "{{temp.again}}", "delay": 3000, "limit": 10},
}


@dataclass(frozen=True, slots=True)
class Read:
    """A reading module. `kind` is search or the kind of action. `shape` is the name of a bundle's schema."""

    kind: str
    name: str
    label: str
    description: str
    group: str
    shape: str
    asked: tuple[Json, ...]
    request: Any


def search(
    name: str, label: str, description: str, group: str, shape: str, path: str, *filters: Json
) -> Read:
    asked = (*filters, limit(100))
    return Read("search", name, label, description, group, shape, asked, _list(path, *filters))


READS = (
    search(
        "searchEvents",
        "Search events",
        "Returns events stored by the relay, newest first.",
        GROUP,
        EVENT,
        "/v1/events",
        *(_TYPE, DEVICE, _USER, _SINCE, _UNTIL, _OCCURRED_SINCE, _OCCURRED_UNTIL),
    ),
    Read(
        "read",
        "getEvent",
        "Get an event",
        "Returns an event with new links to its files.",
        GROUP,
        EVENT,
        (_EVENT,),
        one("/v1/events/{{parameters.event_id}}"),
    ),
    search(
        "searchUsers",
        "Search users",
        "Returns the users that devices have reported, with one result per user and device.",
        GROUPS["user"],
        "User",
        "/v1/users",
        DEVICE,
    ),
    Read(
        "read",
        "getUser",
        "Get a user",
        "Returns a user's profile and credentials on each device, without the credentials' data.",
        GROUPS["user"],
        "UserEverywhere",
        (_THE_USER, DEVICE),
        one("/v1/users/{{parameters.user_id}}", qs=_OF_DEVICE),
    ),
    Read(
        "read",
        "getCredential",
        "Get a credential",
        "Returns a card number, a PIN or a template. The API key requires the scope templates:read.",
        GROUPS["user"],
        "Credential",
        (
            {**_THE_DEVICE, "options": {"store": forms.DEVICES, "nested": [_USER_THERE]}},
            _choice(
                "credential_type",
                "Type",
                tuple(CREDENTIAL_FIELDS),
                "The credential type.",
                required=True,
            ),
            _INDEX,
        ),
        one(
            "/v1/users/{{parameters.user_id}}/credentials/{{parameters.credential_type}}/"
            "{{ifempty(parameters.credential_index, 0)}}",
            qs=_OF_DEVICE,
            log={"sanitize": [KEY, "response.body.data"]},
        ),
    ),
    search(
        "searchDevices",
        "List devices",
        "Returns the devices registered with the relay.",
        GROUPS["device"],
        "Device",
        "/v1/devices",
    ),
    Read(
        "read",
        "getDevice",
        "Get a device",
        "Returns a device with its counters and when it was last seen.",
        GROUPS["device"],
        "Device",
        (_THE_DEVICE,),
        one("/v1/devices/{{parameters.device_id}}"),
    ),
    search(
        "searchCommands",
        "Search commands",
        "Returns commands and who sent them, newest first.",
        COMMANDS,
        "Command",
        "/v1/commands",
        *(DEVICE, _STATUS),
    ),
    Read(
        "read",
        "getCommand",
        "Get a command",
        "Returns the status and result of a command. Can wait until the command ends.",
        COMMANDS,
        "CommandWithResult",
        (_COMMAND, _WAIT),
        _FOLLOWED,
    ),
    Read(
        "update",
        "cancelCommand",
        "Cancel a command",
        "Cancels a command that has not been sent yet, or stops waiting for its result.",
        COMMANDS,
        "CommandWithResult",
        (_COMMAND,),
        one(f"{_THE_COMMAND}/cancel", method="POST", body={}),
    ),
)


def components(catalog: Json) -> list[Component]:
    return [*(module_of(read, catalog) for read in READS), _photo()]


def module_of(read: Read, catalog: Json) -> Component:
    shape = event_values(catalog) if read.shape == EVENT else values(schemas.COMPONENTS[read.shape])
    codes = {
        "communication": read.request,
        "mappableParams": list(read.asked),
        "interface": forms.interface(shape),
        "samples": forms.sample(shape),
    }
    return module(read.kind, read.name, read.label, read.description, read.group, codes)


def _photo() -> Component:
    """Return the photo module, which is written by hand.

    It calls the connection's URL, because the key must not be sent elsewhere, and Make may not reach the public URL.
    """
    return module(
        "read",
        "downloadPhoto",
        "Download a photo",
        "Returns the photo of an attendance photo event as a file.",
        GROUP,
        by_hand("communication", "mappableParams", "interface", "samples"),
    )
