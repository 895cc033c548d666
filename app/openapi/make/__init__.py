"""The generated files of the app for Make, in the format of Make's local development.

`triggers` has the webhooks and instant triggers, `commands` the device commands, `reads` the searches and reads, and
`people` attendance and employees.
`forms` makes parameters and interfaces, `base` has the parts of every request, and `component` defines what all
components have in common. The connection, the pickers and two modules are written by hand, in make-app/ (`BY_HAND`).
`scripts/make-app` builds the complete app.
"""

from __future__ import annotations

from typing import Any

from app.openapi.catalog import catalog
from app.openapi.make import commands, people, reads, triggers
from app.openapi.make.base import base
from app.openapi.make.component import BY_HAND, CONNECTION, Component, by_hand, module
from app.openapi.vocabulary import Json

_OTHER = "Other"
_BASE = "general/base.iml.json"
_GROUPS = "modules/groups.json"
_KINDS = ("connection", "webhook", "module", "rpc", "function", "endpoint")


def files() -> dict[str, Any]:
    """Return the JSON contents of the generated files, by path relative to the app's folder."""
    known = catalog()
    found = _components(known)
    made = {
        component.path(code): content
        for component in found
        for code, content in component.codes.items()
        if content is not BY_HAND
    }
    return {
        "makecomapp.json": _makecomapp(found),
        _BASE: base(known),
        _GROUPS: _groups(found),
        **made,
    }


def _components(known: Json) -> list[Component]:
    return [
        Component(
            "connection",
            CONNECTION,
            "cams-relay",
            by_hand("communication", "params"),
            {"connectionType": "basic"},
        ),
        _picker("listDevices", "List devices"),
        _picker("listUsers", "List users"),
        *triggers.components(known),
        *commands.components(known),
        *reads.components(known),
        *people.components(known),
        module(
            "universal",
            "makeApiCall",
            "Make an API call",
            "Performs an arbitrary authorized API call.",
            _OTHER,
            by_hand("communication", "mappableParams", "interface", "samples"),
        ),
    ]


def _picker(name: str, label: str) -> Component:
    return Component("rpc", name, label, by_hand("communication", "params"), {"connection": CONNECTION})


def _makecomapp(found: list[Component]) -> Json:
    return {
        "fileVersion": 1,
        # make-app/README.md is for the person who uploads the app. The app has no common data.
        "generalCodeFiles": {
            "base": _BASE,
            "common": None,
            "readme": None,
            "groups": _GROUPS,
        },
        "components": {
            kind: {component.name: component.described() for component in found if component.kind == kind}
            for kind in _KINDS
        },
        "origins": [],
    }


def _groups(found: list[Component]) -> list[Json]:
    groups: dict[str, list[str]] = {name: [] for name in (triggers.GROUP, *commands.GROUPS.values())}
    for component in found:
        if component.kind == "module":
            groups.setdefault(component.group, []).append(component.name)
    groups[_OTHER] = groups.pop(_OTHER)  # moves it to the end
    return [{"label": label, "modules": names} for label, names in groups.items()]
