"""The SDK's client for both transports, and the messages it receives."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

from app.store.server.embedded import die_with_parent
from tests.harness import ROOT, free_port, wait_for
from tests.stage import Stage

T = TypeVar("T")

ALL = ("events:read", "subscriptions:write", "actions:read", "actions:write", "actions:destructive")


@dataclass
class Assistants:
    """Clients of a shared MCP server over HTTP, or of a new server for each client over standard input and output."""

    stage: Stage
    url: str

    def key(self, *scopes: str) -> str:
        """Creates an API key, by default with every scope except `templates:read` and `admin`."""
        body = {"name": "assistant", "scopes": list(scopes or ALL)}
        answer = self.stage.relay.call("POST", "/v1/api-keys", json=body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["key"]
        return made

    @asynccontextmanager
    async def over_http(self, key: str) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(self.url, http_client=http)) as client,
        ):
            yield client

    @asynccontextmanager
    async def over_stdio(self, key: str, *options: str) -> AsyncIterator[Client]:
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "app", "mcp", *options],
            env={"RELAY_URL": self.stage.relay.url, "RELAY_API_KEY": key, "PYTHONPATH": str(ROOT)},
            cwd=str(self.stage.relay.folder),
        )
        async with Client(parameters) as client:
            yield client


@contextmanager
def serving(relay_url: str, folder: Path, *options: str) -> Iterator[str]:
    """Runs `cams-relay mcp --http` for a relay, and yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "app", "mcp", "--http", str(port), "--url", relay_url, *options]
    with (folder / "mcp.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    try:
        wait_for(lambda: listens() or process.poll() is not None, 30)
        assert process.poll() is None, (folder / "mcp.log").read_text()
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(10)


def run(task: Callable[[], Awaitable[T]]) -> T:
    """Runs the asynchronous part of a test, for at most a minute."""

    async def limited() -> T:
        with anyio.fail_after(60):
            return await task()

    return anyio.run(limited)


def content_of(result: Any) -> Any:
    """Returns a tool's result, and checks that its text and its structured content are equal."""
    assert isinstance(result, CallToolResult)
    assert not result.is_error, result.content
    (content,) = result.content
    assert content.type == "text"
    assert json.loads(content.text) == result.structured_content
    return result.structured_content


def refused(result: Any) -> str:
    """Returns the message of a tool error."""
    assert isinstance(result, CallToolResult) and result.is_error and result.structured_content is None
    (content,) = result.content
    assert content.type == "text"
    return content.text
