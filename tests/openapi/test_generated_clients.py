"""Client code generated from the description compiles and has readable names."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from app import openapi
from app.events.samples import sample
from app.events.types import EVENT_TYPES
from app.openapi.titles import pascal
from app.schemas.actions import ACTIONS
from tests import node
from tests.openapi.reading import Json, body_of, operations

pytestmark = pytest.mark.timeout(300)  # the first run installs

DOCUMENTS = {
    "3.1": lambda: openapi.as_yaml("3.1"),
    "3.1-webhooks": lambda: openapi.as_yaml("3.1", webhooks=True),
    "3.1-actions": lambda: openapi.as_yaml("3.1", "actions"),
    "3.0": lambda: openapi.as_yaml("3.0"),
    "3.0-actions": lambda: openapi.as_yaml("3.0", "actions"),
}
USE = """
import type { components, paths } from './api';

type Body = paths['/v1/actions/add-user']['post']['requestBody']['content']['application/json'];
export const body: Body = { device_id: 'ZHM1100001', user_id: '100', card_number: '0004829371', user_type: 'admin' };
// @ts-expect-error There is no such type of user.
export const wrong: Body = { device_id: 'ZHM1100001', user_id: '100', user_type: 'chief' };

type Answer = paths['/v1/actions/add-user']['post']['responses'][200]['content']['application/json'];
export const status = (answer: Answer): 'completed' | string => answer.status;
"""
USE_EVENTS = """
export function shown(event: components['schemas']['Event']): string | null {
    switch (event.type) {
        case 'attendance.punch': return event.punch_type;
        case 'command.completed': case 'command.failed': case 'command.unknown': case 'command.cancelled':
            return event.command_id;
        default: return event.type;
    }
}
// @ts-expect-error An event of another type has no punch type.
export const punch = (event: components['schemas']['UserUpdatedEvent']) => event.punch_type;
"""


@pytest.fixture(params=DOCUMENTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def document(name: str, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.yaml"
    path.write_text(DOCUMENTS[name]())
    return path


def test_types_for_typescript_compile_and_catch_mistakes(
    name: str, document: Path, tools: Path, tmp_path: Path
) -> None:
    made = node.run(tmp_path, tools / "openapi-typescript", document, "-o", "api.d.ts")
    assert made.returncode == 0, made.stdout
    (tmp_path / "use.ts").write_text(USE if "actions" in name else USE + USE_EVENTS)
    compiled = node.run(tmp_path, tools / "tsc", "--noEmit", "--strict", "api.d.ts", "use.ts")
    assert compiled.returncode == 0, compiled.stdout


def generated_models(document: Path, folder: Path) -> ModuleType:
    """Generates models with datamodel-codegen. In 3.0, `--strict-nullable` lets required fields be null, too."""
    path = folder / f"models_{folder.name}.py"
    made = node.run(
        folder,
        *(sys.executable, "-m", "datamodel_code_generator", "--input", document, "--output", path),
        *("--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel"),
        *("--use-title-as-name", "--strict-nullable", "--formatters", "builtin"),
    )
    assert made.returncode == 0, made.stdout
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["3.1", "3.1-webhooks", "3.0"])
def test_models_for_python_are_named_and_read_what_the_relay_sends(document: Path, tmp_path: Path) -> None:
    module = generated_models(document, tmp_path)
    try:
        classes = {found for found, _ in inspect.getmembers(module, inspect.isclass)}
        numbered = {found for found in classes if re.search(r"\d$", found)}
        assert not numbered
        body = {"device_id": "ZHM1100001", "user_id": "100", "user_type": "admin"}
        assert module.AddUserBody.model_validate(body).user_type.value == "admin"
        for event_type in EVENT_TYPES:
            event = module.Event.model_validate(sample(event_type)).root
            assert event.type == event_type and event.id == sample(event_type)["id"]
    finally:
        del sys.modules[module.__name__]


def test_no_component_has_the_name_that_a_generator_gives_to_a_field_of_another(full_document: Json) -> None:
    """ogen names the types of a union after the union and its discriminator: `Event` and `type` make `EventType`."""
    schemas = full_document["components"]["schemas"]
    taken = {
        name + pascal(schema["discriminator"]["propertyName"])
        for name, schema in schemas.items()
        if "discriminator" in schema
    }
    assert taken and not taken & set(schemas)


def test_bodies_and_responses_have_names_in_2_0_too() -> None:
    inline = 0
    for _, _, operation in operations(openapi.document("2.0")):
        bodies = [part for part in operation.get("parameters", ()) if part.get("in") == "body"]
        for schema in [
            part["schema"] for part in (*bodies, *operation["responses"].values()) if "schema" in part
        ]:
            if schema.get("type") == "object" and "properties" in schema:
                inline += 1
                assert schema["title"]
    assert inline


def test_each_action_has_a_body_of_its_own_name(full_document: Json, actions: Json) -> None:
    for name, action in ACTIONS.items():
        path = f"/v1/actions/{name}"
        operation = full_document["paths"][path]["post"]
        expected = f"{operation['operationId'][0].upper()}{operation['operationId'][1:]}Body"
        (content,) = operation["requestBody"]["content"].values()
        assert content["schema"] == {"$ref": f"#/components/schemas/{expected}"}
        assert set(body_of(full_document, operation)["required"]) == {"device_id", *action.required} | (
            {"confirm"} if action.effect == "destructive" else set()
        )
        if path in actions["paths"]:
            (flat,) = actions["paths"][path]["post"]["requestBody"]["content"].values()
            assert flat["schema"] == {"title": expected, **body_of(full_document, operation)}
