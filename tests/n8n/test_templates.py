"""The files of the workflow templates, without running them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.n8n.n8n import PACKAGE, Json, N8n

pytestmark = pytest.mark.timeout(900)  # the first one may have to install n8n
FILES = sorted((PACKAGE / "workflows").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_template_contains_no_credentials_or_pinned_data(path: Path) -> None:
    document = json.loads(path.read_text())
    assert set(document) == {"name", "nodes", "connections", "settings", "pinData"}
    names = [node["name"] for node in document["nodes"]]
    assert len(set(names)) == len(names)
    assert all("credentials" not in node for node in document["nodes"])
    assert document["pinData"] == {}
    linked = {
        name
        for source, outputs in document["connections"].items()
        for name in [source, *(to["node"] for output in outputs["main"] for to in output)]
    }
    notes = [node for node in document["nodes"] if node["type"] == "n8n-nodes-base.stickyNote"]
    assert linked == set(names) - {node["name"] for node in notes}
    assert notes[0]["parameters"]["content"].startswith("## ")
    assert "\n1. " in notes[0]["parameters"]["content"]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_template_only_uses_existing_parameters_of_its_nodes(path: Path, n8n: N8n) -> None:
    types = n8n.session.get(f"{n8n.url}/types/nodes.json", timeout=30).json()
    for node in json.loads(path.read_text())["nodes"]:
        (kind,) = (
            one
            for one in types
            if one["name"] == node["type"] and node["typeVersion"] in _list(one["version"])
        )
        given = {**node["parameters"], **node["parameters"].get("additionalFields", {})}
        known = {one["name"] for one in _shown(kind["properties"], node)}
        assert set(given) <= known, f"{node['name']}: {set(given) - known}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _shown(properties: list[Json], node: Json) -> Iterator[Json]:
    """Yields the parameters shown for the node's resource and operation, including "Additional Fields"."""
    for one in properties:
        show = one.get("displayOptions", {}).get("show", {})
        chosen = {name: node["parameters"].get(name) for name in ("resource", "operation") if name in show}
        if all(value is None or value in show[name] for name, value in chosen.items()):
            yield one
            if one["name"] == "additionalFields":
                yield from one["options"]


def test_the_readme_names_every_template() -> None:
    readme = (PACKAGE / "README.md").read_text()
    assert FILES and all(f"workflows/{path.name}" in readme for path in FILES)
