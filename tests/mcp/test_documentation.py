"""The configurations in docs/integrations/mcp.md work, and its statements about tools are true."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from app.store.access.scopes import SCOPES
from tests.docs.conftest import block
from tests.harness import ROOT
from tests.mcp.clients import Assistants, run, serving

PAGE = "docs/integrations/mcp.md"
PROGRAM = Path(sys.executable).parent / "cams-relay"
_PLACE = "/path/to/cams-relay/.venv/bin/cams-relay"


def _stdio(command: str, arguments: list[str], environment: dict[str, str], key: str, url: str) -> Client:
    assert command == _PLACE and environment.keys() == {"RELAY_URL", "RELAY_API_KEY"}
    assert environment["RELAY_URL"] == "https://relay.example.com"
    return Client(
        StdioServerParameters(
            command=str(PROGRAM), args=arguments, env={"RELAY_URL": url, "RELAY_API_KEY": key}
        )
    )


def _tools(client: Client) -> set[str]:
    async def ask() -> set[str]:
        async with client:
            return {tool.name for tool in (await client.list_tools()).tools}

    return run(ask)


@pytest.mark.parametrize("name", ["claude-desktop", "gemini-cli"])
def test_a_configuration_starts_the_server(assistants: Assistants, name: str) -> None:
    made = json.loads(block(PAGE, "config", name))
    server = made["mcpServers"]["cams-relay"]
    assert set(server) <= {"command", "args", "env", "timeout"}
    url = assistants.stage.relay.url
    client = _stdio(server["command"], server["args"], server["env"], assistants.key("events:read"), url)
    assert "who_is_in" in _tools(client)


def test_claude_codes_command_starts_the_server(assistants: Assistants) -> None:
    words = shlex.split(block(PAGE, "command", "claude-code").replace("\\\n", " "))
    options, (command, *arguments) = words[: words.index("--")], words[words.index("--") + 1 :]
    assert options[:3] == ["claude", "mcp", "add"] and options[-1] == "cams-relay"
    environment = dict(
        word.split("=", 1) for before, word in itertools.pairwise(options) if before == "--env"
    )
    url = assistants.stage.relay.url
    assert "who_is_in" in _tools(_stdio(command, arguments, environment, assistants.key("events:read"), url))


def test_claude_codes_file_connects_to_the_server_of_the_page(assistants: Assistants, tmp_path: Path) -> None:
    program, *words = shlex.split(block(PAGE, "command", "http"))
    assert program == ".venv/bin/cams-relay" and words[:2] == ["mcp", "--http"]
    server = json.loads(block(PAGE, "config", "claude-code"))["mcpServers"]["cams-relay"]
    assert (server["type"], server["url"]) == ("http", "https://mcp.example.com/mcp")
    key = assistants.key("subscriptions:write")
    headers = {name: text.replace("${RELAY_API_KEY}", key) for name, text in server["headers"].items()}

    async def ask(url: str) -> set[str]:
        # A proxy passes on the host name that the client used.
        named = {**headers, "Host": "mcp.example.com"}
        async with httpx2.AsyncClient(headers=named) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport) as client:
                return {tool.name for tool in (await client.list_tools()).tools}

    with serving(assistants.stage.relay.url, tmp_path, *words[3:]) as url:
        assert run(lambda: ask(url)) == {"list_subscriptions", "failed_deliveries"}


def test_the_openai_apis_tool_is_valid() -> None:
    made: dict[str, Any] = json.loads(block(PAGE, "config", "openai-api"))
    assert made["type"] == "mcp" and made["server_url"].startswith("https://")
    assert made["require_approval"] == "always" and not made["authorization"].startswith("Bearer")


def test_the_table_of_scopes_is_correct(assistants: Assistants) -> None:
    table = re.findall(r"^\| `([a-z]+:[a-z]+)` \| (.*) \|$", (ROOT / PAGE).read_text(), re.MULTILINE)
    without_tools = {"templates:read", "metrics:read", "admin"}
    assert {scope for scope, _ in table} == set(SCOPES) - without_tools

    async def ask(scope: str) -> set[str]:
        async with assistants.over_http(assistants.key(scope)) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    for scope, tools in table:
        named = set(re.findall(r"`([a-z_]+)`", tools))
        assert named == run(lambda scope=scope: ask(scope)), scope


def test_the_key_in_the_page_has_the_scopes_shown() -> None:
    words = shlex.split(block(PAGE, "run", "assistant-key"))
    assert words[:3] == [".venv/bin/cams-relay", "keys", "create"]
    scopes = [word for before, word in itertools.pairwise(words) if before == "--scope"]
    assert scopes == ["events:read", "actions:read"]
