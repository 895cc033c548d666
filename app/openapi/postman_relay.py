"""The Postman collection of the relay's own API, made from the same tables as OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.openapi.build import ENDPOINTS
from app.openapi.postman import FRESH_USER, collection, json_body, replaced, script
from app.openapi.vocabulary import LOCAL_URL, PUBLIC, Endpoint, Json
from app.schemas.actions import ACTIONS

_ABOUT = (
    "The API of cams-relay. `base_url` is the relay's URL, `api_key` is a key with all scopes, and "
    "`device_id` and `auth_token` are those of a registered device without a Security Key. Requests use the "
    "objects created by earlier requests. If you run the whole collection, it ends by deleting everything on "
    "the device."
)
_VARIABLES = {
    "base_url": LOCAL_URL,
    "api_key": "",
    "device_id": "ZHM1100001",
    "auth_token": "",
    "target_url": "https://hooks.example.com/punches",
    "user_id": "100",
    "known_user_id": "100",
    "new_device_id": "ZHM1100002",
    "event_id": "",
    "command_id": "",
    "subscription_id": "",
    "delivery_id": "",
    "replay_id": "",
    "key_id": "",
}
# In this order, requests can use what earlier ones created. Destructive requests come last.
_FOLDERS = ("system", "keys", "devices", "events", "users", "subscriptions", "actions", "commands")
_LATE = ("delete-user", "delete-all-user", "delete-log-all", "delete-attendance-photo")

# Left out because a stream doesn't end, and signed links come from events.
_LEFT_OUT = ("streamEvents", "getPhoto", "getUnrecognisedBody")

_KEPT: dict[str, tuple[str, str]] = {
    "listEvents": ("event_id", "data[0].id"),
    "listUsers": ("known_user_id", "data[0].user_id"),
    "createSubscription": ("subscription_id", "id"),
    "testSubscription": ("delivery_id", "delivery_id"),
    "replayEvents": ("replay_id", "id"),
    "createApiKey": ("key_id", "id"),
    "loadDeviceInformation": ("command_id", "command_id"),
}
_NEW_DEVICE = ("registerDevice", "updateDevice", "removeDevice")
_ENABLED = (("listUsers", "device_id"),)  # so that the saved user is on this device
_ALSO_EXPECTED: dict[str, tuple[int, ...]] = {
    "cancelCommand": (409,),  # the command may already have been sent
    "deleteCommand": (409,),
    "retryDelivery": (409,),  # the delivery may still be under way
    "rotateCallbackSecret": (409,),  # the device may not require a callback secret
}


def _variables_of(endpoint: Endpoint) -> Mapping[str, str]:
    """Return the values of path parameters and body fields, mostly collection variables."""
    device = "{{new_device_id}}" if endpoint.operation_id in _NEW_DEVICE else "{{device_id}}"
    user = "{{known_user_id}}" if endpoint.tag == "users" else "{{user_id}}"
    return {
        "device_id": device,
        "user_id": user,
        "target_url": "{{target_url}}",
        "AuthToken": "{{auth_token}}",
    }


def _path(endpoint: Endpoint, values: Mapping[str, str]) -> str:
    examples = {item["name"]: item.get("example") for item in endpoint.parameters if isinstance(item, dict)}

    def filled(match: re.Match[str]) -> str:
        name = match[1]
        if name in values:
            return values[name]
        return f"{{{{{name}}}}}" if name in _VARIABLES else str(examples[name])

    return re.sub(r"\{(\w+)\}", filled, endpoint.path)


def _query(endpoint: Endpoint, values: Mapping[str, str]) -> list[Json]:
    return [
        {
            "key": item["name"],
            "value": values.get(item["name"], str(item.get("example", ""))),
            "description": item["description"],
            "disabled": not item["required"] and (endpoint.operation_id, item["name"]) not in _ENABLED,
        }
        for item in endpoint.parameters
        if isinstance(item, dict) and item["in"] == "query"
    ]


def _tests(endpoint: Endpoint) -> list[str]:
    right = (*endpoint.answers, *_ALSO_EXPECTED.get(endpoint.operation_id, ()))
    statuses = [status for status in right if status != 503]
    lines = [
        f"pm.test('{endpoint.operation_id}', () => pm.expect(pm.response.code).to.be.oneOf({statuses}));"
    ]
    if endpoint.operation_id in _KEPT:
        variable, where = _KEPT[endpoint.operation_id]
        lines += [
            "const answer = pm.response.json();",
            f"if (answer.{where.replace('[0].', '?.[0]?.')}) pm.collectionVariables.set('{variable}', answer.{where});",
        ]
    return lines


def _item(endpoint: Endpoint) -> Json:
    values = _variables_of(endpoint)
    path, query = _path(endpoint, values), _query(endpoint, values)
    enabled = "&".join(f"{item['key']}={item['value']}" for item in query if not item["disabled"])
    request: Json = {
        "method": endpoint.method.upper(),
        "header": [],
        "url": {
            "raw": "{{base_url}}" + path + (f"?{enabled}" if enabled else ""),
            "host": ["{{base_url}}"],
            "path": path.strip("/").split("/"),
            "query": query,
        },
        "description": endpoint.description,
    }
    if endpoint.scopes == PUBLIC and 401 not in endpoint.problems:
        request["auth"] = {"type": "noauth"}
    events = [script("test", *_tests(endpoint))]
    if endpoint.body is not None:
        request["header"] = [{"key": "Content-Type", "value": "application/json"}]
        request["body"] = json_body(replaced(next(iter(endpoint.examples.values())), dict(values)))
        if endpoint.path.startswith("/v1/actions/add-user"):
            events.append(script("prerequest", FRESH_USER))
        if endpoint.operation_id == "registerDevice":
            fresh = "pm.collectionVariables.set('new_device_id', 'NEW' + String(Date.now()));"
            events.append(script("prerequest", fresh))
    return {"name": endpoint.summary, "event": events, "request": request}


def _sort_key(endpoint: Endpoint) -> tuple[bool, int]:
    """Return the sort key of an endpoint in its folder: deleting comes last, and deleting everything after that."""
    name = endpoint.path.rpartition("/")[2]
    return endpoint.method == "delete", _LATE.index(name) + 1 if name in _LATE and name in ACTIONS else 0


def relay_collection(base_url: str = LOCAL_URL) -> Json:
    """Return the collection, with a folder per tag and `base_url` as the default of its variable."""
    folders = []
    for tag in _FOLDERS:
        inside = [item for item in ENDPOINTS if item.tag == tag and item.operation_id not in _LEFT_OUT]
        folders.append({"name": tag, "item": [_item(item) for item in sorted(inside, key=_sort_key)]})
    auth = {"type": "bearer", "bearer": [{"key": "token", "value": "{{api_key}}", "type": "string"}]}
    return collection("cams-relay", _ABOUT, {**_VARIABLES, "base_url": base_url}, folders, auth=auth)
