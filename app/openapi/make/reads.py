"""What is read from the relay: searches that go on page by page, and single things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.events.types import EVENT_TYPES
from app.openapi import schemas
from app.openapi.catalog import title, values
from app.openapi.make import forms
from app.openapi.make.base import KEY
from app.openapi.make.commands import GROUPS, limit
from app.openapi.make.component import Component, by_hand, module
from app.openapi.make.triggers import GROUP, event_values
from app.openapi.parts import Json
from app.store.commands import STATUSES

COMMANDS = "Commands"

_PAGE = 200
_DEVICE: Json = {
    "name": "device_id",
    "label": "Device",
    "type": "select",
    "options": forms.DEVICES,
    "help": "Only of this device.",
}
_THE_DEVICE = {**_DEVICE, "required": True, "help": "Which device."}
_USER: Json = {
    "name": "user_id",
    "label": "User ID",
    "type": "text",
    "help": "The user's ID on the device.",
}
_THE_USER = {**_USER, "required": True}
_EVENT: Json = {
    "name": "event_id",
    "label": "Event ID",
    "type": "text",
    "required": True,
    "help": "The field ID of an event, e.g. `evt_01kay8ds0r000000`.",
}
_COMMAND: Json = {
    "name": "command_id",
    "label": "Command ID",
    "type": "text",
    "required": True,
    "help": "The field Command ID of what a module of this app gave.",
}
_CREDENTIALS = ("card", "password", "fingerprint", "face", "palm", "user_photo")


def _choice(name: str, label: str, choices: tuple[str, ...], help_text: str, **more: Any) -> Json:
    shown = [{"label": "PIN" if value == "password" else title(value), "value": value} for value in choices]
    return {"name": name, "label": label, "type": "select", "options": shown, "help": help_text, **more}


@dataclass(frozen=True, slots=True)
class Search:
    """A list of the relay; `filters` are parameters that go into its query string."""

    name: str
    label: str
    description: str
    group: str
    path: str
    filters: tuple[Json, ...] = ()


SEARCHES = (
    Search(
        "searchEvents",
        "Search Events",
        "Returns events that the relay keeps, the newest first.",
        GROUP,
        "/v1/events",
        (
            _choice("type", "Type", EVENT_TYPES, "Only events of this type."),
            _DEVICE,
            {**_USER, "help": "Only of this user, by the ID on the device."},
            {"name": "since", "label": "Since", "type": "date", "help": "Received at this time or later."},
            {"name": "until", "label": "Until", "type": "date", "help": "Received at this time or earlier."},
        ),
    ),
    Search(
        "searchUsers",
        "Search Users",
        "Returns the users that devices have reported: one result for each user of each device.",
        GROUPS["user"],
        "/v1/users",
        (_DEVICE,),
    ),
    Search(
        "searchDevices",
        "Search Devices",
        "Returns the devices that are registered at the relay.",
        GROUPS["device"],
        "/v1/devices",
    ),
    Search(
        "searchCommands",
        "Search Commands",
        "Returns who commanded what, the newest first.",
        COMMANDS,
        "/v1/commands",
        (_DEVICE, _choice("status", "Status", STATUSES, "Only commands with this status.")),
    ),
)


def components(catalog: Json) -> list[Component]:
    events = event_values(catalog)
    shapes = {
        "searchEvents": events,
        "searchUsers": values(schemas.USER),
        "searchDevices": values(schemas.DEVICE),
        "searchCommands": values(schemas.COMMAND),
    }
    command = values(schemas.COMMAND_WITH_RESULT)
    return [
        *(_search(search, shapes[search.name]) for search in SEARCHES),
        _get(
            "getEvent",
            "Get an Event",
            "Returns an event, with fresh links to its files.",
            GROUP,
            events,
            [_EVENT],
            {"url": "/v1/events/{{parameters.event_id}}"},
        ),
        _photo(),
        _get(
            "getUser",
            "Get a User",
            "Returns a user: profile and credentials on each device, without the credentials' data.",
            GROUPS["user"],
            values(schemas.USER_EVERYWHERE),
            [_THE_USER, _DEVICE],
            {"url": "/v1/users/{{parameters.user_id}}", "qs": {"device_id": forms.given("device_id")}},
        ),
        _get(
            "getCredential",
            "Get a Credential",
            "Returns a card's number, a PIN or a template. The API key needs the scope templates:read.",
            GROUPS["user"],
            values(schemas.CREDENTIAL),
            _OF_A_CREDENTIAL,
            _CREDENTIAL,
        ),
        _get(
            "getDevice",
            "Get a Device",
            "Returns a device, with when it was last seen and its counters.",
            GROUPS["device"],
            values(schemas.DEVICE),
            [_THE_DEVICE],
            {"url": "/v1/devices/{{parameters.device_id}}"},
        ),
        _get(
            "getCommand",
            "Get a Command",
            "Returns what became of a command, and waits for its end if you like.",
            COMMANDS,
            command,
            [_COMMAND, _WAIT],
            _FOLLOWED,
        ),
        _get(
            "cancelCommand",
            "Cancel a Command",
            "Cancels a command that was not sent to the device yet.",
            COMMANDS,
            command,
            [_COMMAND],
            [
                {"url": _THE_COMMAND, "method": "DELETE"},
                {"url": _THE_COMMAND, "response": {"output": "{{body}}"}},
            ],
            crud="update",
        ),
    ]


def _search(search: Search, shape: forms.Fields) -> Component:
    asked = {
        field["name"]: forms.when(field["name"]) if field["type"] == "date" else forms.given(field["name"])
        for field in search.filters
    }
    communication = {
        "url": search.path,
        "qs": {**asked, "limit": _PAGE},
        "response": {"iterate": "{{body.data}}", "output": "{{item}}", "limit": "{{parameters.limit}}"},
        "pagination": {"qs": {"cursor": "{{body.next_cursor}}"}, "condition": "{{body.next_cursor}}"},
    }
    return module(
        "search",
        search.name,
        search.label,
        search.description,
        search.group,
        {
            "communication": communication,
            "mappableParams": [*search.filters, limit(100)],
            "interface": forms.interface(shape),
            "samples": forms.sample(shape),
        },
    )


def _get(
    name: str,
    label: str,
    description: str,
    group: str,
    shape: forms.Fields,
    asked: forms.Fields,
    request: Any,
    crud: str = "read",
) -> Component:
    if isinstance(request, dict):
        request = {**request, "response": {"output": "{{body}}", **request.get("response", {})}}
    codes = {
        "communication": request,
        "mappableParams": asked,
        "interface": forms.interface(shape),
        "samples": forms.sample(shape),
    }
    return module(crud, name, label, description, group, codes)


def _photo() -> Component:
    """By hand. It asks at the connection's URL: the key goes nowhere else, and the public URL may not be for Make."""
    return module(
        "read",
        "downloadPhoto",
        "Download a Photo",
        "Returns the photo of an Attendance Photo event as a file.",
        GROUP,
        by_hand("communication", "mappableParams", "interface", "samples"),
    )


_OF_A_CREDENTIAL = [
    {
        **_THE_DEVICE,
        "options": {
            "store": forms.DEVICES,
            "nested": [{**_THE_USER, "label": "User", "type": "select", "options": forms.USERS}],
        },
    },
    _choice("credential_type", "Type", _CREDENTIALS, "What kind of credential.", required=True),
    {
        "name": "credential_index",
        "label": "Index",
        "type": "uinteger",
        "default": 0,
        "help": "Which of its kind: a finger, for instance. `0` where the kind has none.",
    },
]
_CREDENTIAL: Json = {
    "url": "/v1/users/{{parameters.user_id}}/credentials/{{parameters.credential_type}}/"
    "{{ifempty(parameters.credential_index, 0)}}",
    "qs": {"device_id": forms.given("device_id")},
    "log": {"sanitize": [KEY, "response.body.data"]},
}
_THE_COMMAND = "/v1/commands/{{parameters.command_id}}"
_WAIT: Json = {
    "name": "wait",
    "label": "Wait Until It Has Ended",
    "type": "boolean",
    "default": False,
    "help": "Asks every 3 seconds, for 30 seconds at most.",
}
# repeat sees `temp` alone, and its numbers are no expressions.
_FOLLOWED: Json = {
    "url": _THE_COMMAND,
    "response": {
        "temp": {
            "again": "{{parameters.wait && (body.status == 'queued' || body.status == 'sending' "
            "|| body.status == 'waiting')}}"
        },
    },
    "repeat": {"condition": "{{temp.again}}", "delay": 3000, "limit": 10},
}
