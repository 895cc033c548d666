"""The Postman collection of the gateway's own REST operations, with the bodies from its documentation."""

from __future__ import annotations

from datetime import UTC, datetime

from app.gateway.commands import RELAY_FIELDS, build
from app.gateway.operations import COMMANDS, Operation
from app.openapi.action_bodies import action_examples
from app.openapi.postman import FRESH_USER, collection, json_body, replaced, script
from app.openapi.vocabulary import Json
from app.schemas.actions import ACTIONS

_ABOUT = (
    f"The {len(COMMANDS)} RESTful operations of Cams Web API 3.0, as documented. `base_url` is the RESTful "
    "endpoint URL of your API Monitor account without `?stgid=`, `stgid` is the device's Service Tag ID, and "
    "`auth_token` is its AuthToken. `OperationID` and `Time` are generated for each request, and a new "
    "`user_id` for each user that is added. Only for devices without a Security Key. If you run the whole collection, "
    "it ends by deleting everything on the device."
)
_NOW = (
    "const two = (number) => String(number).padStart(2, '0');",
    "const at = new Date();",
    "const date = [at.getUTCFullYear(), two(at.getUTCMonth() + 1), two(at.getUTCDate())].join('-');",
    "const time = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map(two).join(':');",
    "pm.variables.set('time', `${date} ${time} GMT +0000`);",
    "pm.variables.set('operation_id', Math.random().toString(36).slice(2, 14));",
)
_DONE = (
    "pm.test('the gateway carried it out', () => {",
    "  pm.response.to.have.status(200);",
    "  const answer = pm.response.json();",
    "  pm.expect(answer.Status).to.eql('done');",
    "  pm.expect(answer.StatusCode || 0).to.eql(0);",
    "});",
)
_VARIABLES = {
    "base_url": "https://robot.camsunit.com/external/api3.0/biometric",
    "stgid": "ZHM1100001",
    "auth_token": "",
    "user_id": "100",
}
_ADD, _DESTROY = "Add users", "Delete everything (irreversible)"
_FOLDERS: dict[str, tuple[str, ...]] = {
    "Load": ("Load",),
    _ADD: ("AddUser",),
    "Change users": ("Update", "Enable", "Disable"),
    "Enrol and resend": ("Enroll", "Resend"),
    "Delete": ("Delete",),
    _DESTROY: (),
}


def _folder(operation: Operation) -> str:
    if operation.effect == "destructive":
        return _DESTROY
    return next((name for name, starts in _FOLDERS.items() if operation.name.startswith(starts)), "Load")


def body(operation: Operation) -> Json:
    """Return the documented body of a command, with variables for values that differ between calls."""
    assert operation.action is not None
    values = action_examples(ACTIONS[operation.action])["example"]
    made = build(
        operation,
        {name: value for name, value in values.items() if name not in RELAY_FIELDS},
        auth_token="{{auth_token}}",
        operation_id="{{operation_id}}",
        now=datetime.now(UTC),
        timezone=UTC,
    )
    found: Json = replaced({**made, "Time": "{{time}}"}, {"UserID": "{{user_id}}"})
    return found


def _item(operation: Operation) -> Json:
    return {
        "name": f"{operation.number} {operation.name}",
        "event": [script("test", *_DONE)],
        "request": {
            "method": "POST",
            "header": [{"key": "Content-Type", "value": "application/json"}],
            "url": {
                "raw": "{{base_url}}?stgid={{stgid}}",
                "host": ["{{base_url}}"],
                "query": [{"key": "stgid", "value": "{{stgid}}"}],
            },
            "description": operation.description,
            "body": json_body(body(operation)),
        },
    }


def gateway_collection() -> Json:
    """Return the collection of the gateway's REST operations, in one folder per kind."""
    folders: dict[str, Json] = {name: {"name": name, "item": []} for name in _FOLDERS}
    folders[_ADD]["event"] = [script("prerequest", FRESH_USER)]
    for operation in COMMANDS:
        folders[_folder(operation)]["item"].append(_item(operation))
    filled = [folder for folder in folders.values() if folder["item"]]
    return collection("Cams Web API 3.0", _ABOUT, _VARIABLES, filled, event=[script("prerequest", *_NOW)])
