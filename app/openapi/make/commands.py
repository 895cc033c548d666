"""The modules for actions. load-log is a search, which returns a bundle for each punch."""

from __future__ import annotations

import re

from app.openapi import command_schemas
from app.openapi.action_endpoints import camel
from app.openapi.catalog import values
from app.openapi.make.base import errors
from app.openapi.make.component import Component, module
from app.openapi.make.forms import Fields, interface, parameters, sample, sent
from app.openapi.vocabulary import Json
from app.schemas.actions import ACTIONS
from app.store.commands.records import ADD_USER

GROUPS = {"user": "Users", "log": "Punch logs", "device": "Devices"}

_NOUN = re.compile(r"^(\w+) (user|punch log|fingerprint|access time)\b")

# Make limits names to 48 characters.
_SHORTER = {"add-user-with-card-fingerprint-password-face-palm-and-user-photo": "addUserWithAllCredentials"}
_CRUD = {"add": "create", "delete": "delete", "load": "read"}

# Make stops a module after 40 s, which includes the network's delay.
_LONGEST_WAIT = 30


def components(catalog: Json) -> list[Component]:
    """Return the modules of all actions. The first is `add-user`, which chooses the operation automatically."""
    return [
        _load_log(action) if action["name"] == "load-log" else _command(action, catalog)
        for action in sorted(catalog["actions"], key=lambda action: action["name"] != ADD_USER)
    ]


def name_of(action: str) -> str:
    """Return the module's name for an action: `load-log` → `loadLog`."""
    return _SHORTER.get(action, camel(action))


def label_of(action: Json) -> str:
    """Return the module's label, with an article as Make's reviewers require: `Add a user with card`."""
    return _NOUN.sub(
        lambda found: f"{found[1]} {'an' if found[2][0] == 'a' else 'a'} {found[2]}", action["summary"]
    )


def _command(action: Json, catalog: Json) -> Component:
    shown = [*catalog["command"], *action["result"]]
    known = {value["name"] for value in shown}
    under_way = [value for value in values(command_schemas.UNDER_WAY) if value["name"] not in known]
    request = _request(
        action,
        prefer=f"wait={{{{ifempty(parameters.wait, {_LONGEST_WAIT})}}}}",
        idempotency_key="{{ifempty(parameters.idempotency_key, '')}}",  # the relay ignores an empty key
    )
    request["response"] = {"output": "{{body}}"}
    operation = ACTIONS[action["name"]].operation
    if operation is not None and not operation.repeatable:
        request["response"]["error"] = errors(may_repeat=False)
    return module(
        _CRUD.get(action["name"].partition("-")[0], "update"),
        name_of(action["name"]),
        label_of(action),
        action["description"],
        GROUPS[action["subject"]],
        {
            "communication": request,
            "mappableParams": [*parameters(action["fields"]), *_HOW],
            "interface": interface([*shown, *under_way]),
            "samples": sample(shown) | {"action": action["name"]},
        },
    )


def _request(action: Json, **headers: str) -> Json:
    return {
        "url": f"/v1/actions/{action['name']}",
        "method": "POST",
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "body": {field["name"]: sent(field) for field in action["fields"]},
    }


_HOW: Fields = [
    {
        "name": "wait",
        "label": "Wait",
        "type": "uinteger",
        "default": _LONGEST_WAIT,
        "advanced": True,
        "validate": {"max": _LONGEST_WAIT},
        "help": "How many seconds to wait for the device. After that, the module continues with the status "
        "`sending` or `waiting`. Follow the command with **Watch finished commands** or **Get a command**.",
    },
    {
        "name": "idempotency_key",
        "label": "Idempotency key",
        "type": "text",
        "advanced": True,
        "help": "A value that you choose, up to 255 characters. If the module runs again within a day with the "
        "same value and fields, the command isn't sent again.",
    },
]


def _load_log(action: Json) -> Component:
    (logs,) = (value for value in action["result"] if value["name"] == "logs")
    request = _request(action, prefer=f"wait={_LONGEST_WAIT}")
    request["response"] = {
        "valid": {
            "condition": "{{body.status == 'completed'}}",
            "message": "The log isn't available yet: command {{body.command_id}} is {{body.status}}. The "
            "device may be offline, or the time range may be long.",
            "type": "ConnectionError",  # it only reads, so Make may run it again
        },
        "iterate": "{{body.logs}}",
        "output": "{{item}}",
        "limit": "{{parameters.limit}}",
    }
    return module(
        "search",
        name_of(action["name"]),
        label_of(action),
        action["description"],
        GROUPS[action["subject"]],
        {
            "communication": request,
            "mappableParams": [*parameters(action["fields"]), limit(1000)],
            "interface": interface(logs["fields"]),
            "samples": sample(logs["fields"]),
        },
    )


def limit(default: int) -> Json:
    return {
        "name": "limit",
        "label": "Limit",
        "type": "uinteger",
        "default": default,
        "validate": {"min": 1},
        "help": "The maximum number of results to be worked with during one execution cycle.",
    }
