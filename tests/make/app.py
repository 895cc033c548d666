"""The built app with its components and files. Fills in its forms as Make's editor does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.harness import ROOT

BY_HAND = ROOT / "make-app"

Json = dict[str, Any]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs scripts/make-app for a folder. `stdout` of the result also contains the errors."""
    command = [sys.executable, ROOT / "scripts" / "make-app", folder]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)


@dataclass(frozen=True)
class Component:
    """A component of the app. `files` has the content of each code file by code name."""

    kind: str
    name: str
    meta: Json
    files: dict[str, Any]


class App:
    """The whole app, read from the folder into which it was built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = self.read("makecomapp.json")
        self.base = self.read(self.manifest["generalCodeFiles"]["base"])
        self.components = {
            (kind, name): Component(
                kind, name, meta, {code: self.read(path) for code, path in meta["codeFiles"].items()}
            )
            for kind, found in self.manifest["components"].items()
            for name, meta in found.items()
        }

    def read(self, path: str) -> Any:
        """Reads a file and returns its parsed content."""
        return json.loads((self.folder / path).read_text())

    def __getitem__(self, key: tuple[str, str]) -> Component:
        return self.components[key]

    def of(self, kind: str, module_type: str | None = None) -> list[Component]:
        return [
            component
            for component in self.components.values()
            if component.kind == kind and (module_type in (None, component.meta.get("moduleType")))
        ]


def fields(parameters: list[Json]) -> Iterator[Json]:
    """Yields every parameter of a form, including those nested in a select, whose values aren't nested."""
    for parameter in parameters:
        yield parameter
        options = parameter.get("options")
        if isinstance(options, dict):
            yield from fields(options.get("nested", []))


def filled(parameters: list[Json], values: Json) -> Json:
    """Returns the values of a form: with defaults, with dates as datetimes, and without empty fields.

    Fails when the editor would, because of an unknown or missing field or a value of the wrong type.
    """
    known = {field["name"]: field for field in fields(parameters)}
    assert set(values) <= set(known), f"unknown fields: {set(values) - set(known)}"
    made = {}
    for name, field in known.items():
        value = values.get(name, field.get("default"))
        if value in (None, "", []):
            assert not field.get("required"), f"{name} is required"
            continue
        made[name] = _checked(field, value)
    return made


def _checked(field: Json, value: Any) -> Any:
    name, rules = field["name"], field.get("validate", {})
    match field["type"]:
        case "text" | "password" | "url" | "any":
            assert isinstance(value, str), f"{name} must be a text"
            assert re.search(rules.get("pattern", ""), value), f"{name}: {value!r} doesn't fit"
        case "uinteger":
            assert isinstance(value, int) and rules.get("min", 0) <= value <= rules.get("max", value), name
        case "boolean":
            assert isinstance(value, bool), name
        case "date":
            return datetime.fromisoformat(value).astimezone()
        case "select":
            chosen = value if field.get("multiple") else [value]
            assert isinstance(chosen, list), f"{name} must be a list"
            if isinstance(field["options"], list):  # options of an RPC are not checked
                assert set(chosen) <= {option["value"] for option in field["options"]}, name
        case "array":
            assert isinstance(value, list), name
        case other:
            raise AssertionError(f"a type that is not known here: {other}")
    return value


def check_shown(interface: list[Json], bundle: Json) -> None:
    """Checks that all fields of a bundle are in the interface and have the types in it."""
    known = {field["name"]: field for field in interface}
    assert set(bundle) <= set(known), f"the interface lacks {set(bundle) - set(known)}"
    for name, value in bundle.items():
        if value is not None:
            _check_type(known[name], value)


def _check_type(field: Json, value: Any) -> None:
    match field["type"]:
        case "array":
            for part in value:
                check_shown(field["spec"]["spec"], part)
        case "date":
            assert datetime.fromisoformat(value).tzinfo, f"{field['name']}: {value!r} has no UTC offset"
        case "collection":
            assert isinstance(value, dict)
        case "any":
            pass
        case kind:
            types = {"text": str, "filename": str, "buffer": bytes, "integer": int, "boolean": bool}
            expected = (int, float) if kind == "number" else types[kind]
            assert isinstance(value, expected), f"{field['name']}: {value!r} is not of type {kind}"
            assert kind == "boolean" or not isinstance(value, bool)
