"""The documentation is up to date, and nothing is undocumented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from app.cli import main as cli
from app.events.types import FIELDS
from app.gateway.operations import OPERATIONS
from app.openapi.schemas import DEVICE
from app.schemas.actions import ACTIONS
from app.settings.table import VARIABLES, load
from app.store.access.scopes import SCOPES
from simulator.actions import ACTIONS as SIMULATED
from simulator.spec import DeviceSpec
from tests.docs.conftest import PAGES
from tests.harness import ROOT


def _page(name: str) -> str:
    return (ROOT / name).read_text()


def test_generated_parts_are_fresh(generator: ModuleType) -> None:
    stale = [path.name for path, text in generator.pages().items() if path.read_text() != text]
    assert not stale, f"stale: {', '.join(stale)}; run: make docs"


def test_every_generated_part_is_used(generator: ModuleType) -> None:
    marked = {
        name for page in PAGES for name in re.findall(r"<!-- generated: ([a-z-]+) -->", page.read_text())
    }
    assert marked == set(generator.PARTS)


@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES])
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `{name}` |" in _page("docs/settings.md")
    assert re.search(rf"^#{name}=", _page(".env.example"), re.MULTILINE)


def test_the_env_example_is_valid_when_uncommented() -> None:
    """A relay also starts if every # is removed."""
    lines = re.findall(r"^#([A-Z_]+)=(.*)$", _page(".env.example"), re.MULTILINE)
    assert load(dict(lines)).port == 8000


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for sub, child in command.commands.items():
            yield from _commands(f"{name} {sub}", child)


@pytest.mark.parametrize(("name", "command"), list(_commands("cams-relay", cli)))
def test_every_command_and_option_is_documented(name: str, command: click.Command) -> None:
    section = _page("docs/cli.md").partition(f"### `{name}`\n")[2].partition("\n### ")[0]
    assert section
    for parameter in command.params:
        for option in (*parameter.opts, *parameter.secondary_opts):
            shown = option.upper() if isinstance(parameter, click.Argument) else option
            assert shown in section


@pytest.mark.parametrize("event_type", FIELDS)
def test_every_field_of_an_event_is_documented(event_type: str) -> None:
    page = _page("docs/events.md")
    shared = page.partition("### Fields of every event")[2].partition("\n### ")[0]
    section = page.partition(f"### `{event_type}`\n")[2].partition("\n### ")[0]
    missing = [name for name in FIELDS[event_type] if f"| `{name}` |" not in shared + section]
    assert not missing


def test_every_endpoint_and_scope_is_documented(generator: ModuleType) -> None:
    page = _page("docs/api.md")
    for method, path, scopes, documented in generator.views():
        assert f"| `{method} {path}` |" in page
        assert documented, f"{method} {path} has no docstring"
        assert set(scopes) <= {*SCOPES, "public", "any key"}
    for scope in SCOPES:
        assert f"| `{scope}` |" in page


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_and_field_is_documented(name: str) -> None:
    page = _page("docs/actions.md")
    assert f"| `{name}` |" in page
    for field in ACTIONS[name].schema().fields:
        assert f"| `{field}` |" in page


@pytest.mark.parametrize("name", [operation.name for operation in OPERATIONS])
def test_every_operation_is_documented(name: str) -> None:
    assert f"| `{name}` |" in _page("docs/operations.md")


def test_what_the_simulator_does_is_documented() -> None:
    page = _page("docs/simulator.md")
    for name in (*SIMULATED, *DeviceSpec.__annotations__):
        assert f"`{name}`" in page, name


def _links(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", link):
            yield link


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes from headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in _links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "Makefile", ROOT / ".env.example"], ids=lambda page: page.name
)
def test_no_page_contains_a_path_of_a_developers_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:home|root|work|Users|tmp|opt)/", page.read_text())


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-image.txt", "requirements-dev.txt"])
def test_lock_files_contain_no_index_and_pin_everything(name: str) -> None:
    text = _page(name)
    assert "://" not in text and "--find-links" not in text and "--index" not in text
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==", line), line


@pytest.mark.parametrize("subject", ["events", "attendance", "employees", "devices", "users", "audit"])
def test_the_table_of_scopes_says_what_may_be_read(generator: ModuleType, subject: str) -> None:
    documented = dict(
        re.findall(r"^\| `([a-z:-]+)` \| (.*) \|$", _page("docs/api.md").split("## Endpoints")[0], re.M)
    )
    needed = {
        scope
        for method, path, scopes, _ in generator.views()
        if (method, path) == ("GET", f"/v1/{subject}")
        for scope in scopes
    }
    assert needed
    assert [scope for scope in needed if subject not in documented[scope]] == []


def test_every_field_of_a_device_is_documented() -> None:
    section = _page("docs/api.md").split("\n## Devices")[1].split("\n## ")[0]
    assert [name for name in DEVICE["properties"] if f"`{name}`" not in section] == []
