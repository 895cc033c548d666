"""Every string, list and number of a request has a described limit, and the relay refuses a value above it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.openapi.reading import Json, operations, resolved
from tests.stage import Stage

_ITEM, _KEY = "[]", "{}"
_ENDLESS = "/v1/events/stream"


class Part(NamedTuple):
    """A string, list or number in a request. `path` leads to it within a JSON body."""

    method: str
    url: str
    place: str
    path: tuple[str, ...]
    schema: Json

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.url}: {self.place} {'.'.join(self.path)}"


def _kinds(schema: Json) -> set[str]:
    kind = schema.get("type", ())
    return {kind} if isinstance(kind, str) else set(kind)


def _inside(document: Json, schema: Json, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Json]]:
    schema = resolved(document, schema)
    yield path, schema
    for one in schema.get("anyOf", ()):
        yield from _inside(document, one, path)
    for name, part in schema.get("properties", {}).items():
        yield from _inside(document, part, (*path, name))
    if "items" in schema:
        yield from _inside(document, schema["items"], (*path, _ITEM))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _inside(document, schema["additionalProperties"], (*path, _KEY))


def _parts(document: Json) -> Iterator[Part]:
    for url, method, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            parameter = resolved(document, parameter)
            yield Part(method, url, parameter["in"], (parameter["name"],), parameter["schema"])
        body = operation.get("requestBody", {"content": {}})
        for media, content in body["content"].items():
            for path, schema in _inside(document, content["schema"], ()):
                yield Part(method, url, media, path, schema)


def _has_words(schema: Json) -> bool:
    return "enum" in schema or "const" in schema


def test_every_part_of_a_request_has_a_limit(full_document: Json) -> None:
    endless = []
    for part in _parts(full_document):
        kinds = _kinds(part.schema)
        if ("string" in kinds and not _has_words(part.schema) and "maxLength" not in part.schema) or (
            "array" in kinds and "maxItems" not in part.schema
        ):
            endless.append(str(part))
        is_constant = part.path[-1:] == ("value",)  # of a field mapping, which can be any number
        if (
            kinds & {"integer", "number"}
            and not is_constant
            and not {"minimum", "maximum"} <= part.schema.keys()
        ):
            endless.append(str(part))
    assert endless == []


def _above(part: Part) -> tuple[Any, int] | None:
    """Return a value that is one above a limit, and the limit."""
    kinds, schema = _kinds(part.schema), part.schema
    if "string" in kinds and "maxLength" in schema:
        return "1" * (schema["maxLength"] + 1), schema["maxLength"]
    if kinds & {"integer", "number"} and "maximum" in schema:
        return schema["maximum"] + 1, schema["maximum"]
    if "array" in kinds and schema["maxItems"] < 100_000:
        example = schema["examples"][0][0] if "examples" in schema else "1"
        return [example] * (schema["maxItems"] + 1), schema["maxItems"]
    return None


def _put(body: Any, path: tuple[str, ...], value: Any) -> Any:
    """Return a body with this value, and only what is needed to lead to it."""
    if not path:
        return value
    name, *rest = path
    if name == _ITEM:
        return [_put(body[0] if isinstance(body, list) and body else None, tuple(rest), value)]
    if name == _KEY:
        return {"X-Site": _put(None, tuple(rest), value)}
    made = dict(body) if isinstance(body, dict) else {}
    return {**made, name: _put(made.get(name), tuple(rest), value)}


@pytest.fixture(scope="module")
def known(stage: Stage) -> dict[str, str]:
    """Values of path parameters that exist."""
    relay, device = stage.relay, stage.new_device()
    hook = relay.call(
        "POST", "/v1/subscriptions", json={"target_url": "http://127.0.0.1:9/", "events": ["*"]}
    )
    key = relay.call("POST", "/v1/api-keys", json={"name": "limits", "scopes": ["events:read"]})
    assert relay.call("PUT", "/v1/employees/2", json={"employee_id": "E-2"}).ok
    return {
        "device_id": device.id,
        "subscription_id": hook.json()["id"],
        "key_id": key.json()["id"],
        "user_id": "2",
        "credential_type": "card",
        "index": "0",
    }


def test_a_value_above_a_limit_is_refused_by_its_name(
    full_document: Json, stage: Stage, known: dict[str, str]
) -> None:
    checked, faults = 0, []
    for part in _parts(full_document):
        above = _above(part)
        if above is None or not part.url.startswith("/v1/") or part.place == "text/csv":
            continue
        if part.path == ("field_mapping", _KEY):
            continue  # only names of fields are allowed, so the message says this instead
        checked += 1
        fault = _fault_of(full_document, stage, known, part, *above)
        if fault:
            faults.append(f"{part}: {fault}")
    assert checked > 250
    assert not faults, "\n".join(faults)


def _fault_of(
    full_document: Json, stage: Stage, known: dict[str, str], part: Part, value: Any, limit: int
) -> str | None:
    operation = full_document["paths"][part.url][part.method]
    names = dict(known)
    parameters = [resolved(full_document, parameter) for parameter in operation.get("parameters", ())]
    needed = {
        item["name"]: item["example"] for item in parameters if item["in"] == "query" and item["required"]
    }
    if "device_id" in needed:
        needed["device_id"] = known["device_id"]
    how: dict[str, Any] = {"params": needed}
    expected = {"query": "parameter", "path": "parameter", "header": "header"}.get(part.place, "pointer")
    if part.place == "path":
        names[part.path[0]] = str(value)
    elif part.place == "query":
        how["params"] = {**needed, part.path[0]: value}
    elif part.place == "header":
        how["headers"] = {part.path[0]: value}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        body = copy.deepcopy(next(iter(content["examples"].values()))["value"])
        how["json"] = _put(body, part.path, value) if expected == "pointer" else body
    url = part.url
    for name in [part.partition("}")[0] for part in part.url.split("{")[1:]]:
        url = url.replace(f"{{{name}}}", names.get(name, "1"))
    answer = stage.relay.call(part.method.upper(), url, **how)
    if answer.status_code != 422:
        return f"{answer.status_code} {answer.text[:200]}"
    for error in answer.json()["errors"]:
        name = error.get(expected, "")
        first = part.path[0]
        named = (
            name == first if expected != "pointer" else name == f"/{first}" or name.startswith(f"/{first}/")
        )
        if named and any(text in error["message"] for text in (str(limit), f"{limit:,}")):
            return None
    return answer.text[:300]
