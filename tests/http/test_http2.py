"""Deliveries to targets that support HTTP/2, here Node's own server."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_servers import client, post

from workers.http.client import Client

_SERVER = Path(__file__).with_name("http2_server.js")


@pytest.fixture
def origin(certificate: Path) -> Iterator[str]:
    """The URL of a running server."""
    node = shutil.which("node")
    assert node, "Node.js is needed: https://nodejs.org, or apt-get install nodejs"
    server = subprocess.Popen([node, _SERVER, certificate], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield f"https://localhost:{int(server.stdout.readline())}"
    server.terminate()
    server.wait(10)


def run(certificate: Path, test: Callable[[Client], Awaitable[Any]]) -> Any:
    async def scenario() -> Any:
        async with client(ca_file=str(certificate)) as http:
            return await test(http)

    return asyncio.run(asyncio.wait_for(scenario(), 30))


async def counted(http: Client, origin: str) -> Any:
    return json.loads((await http.fetch(post(f"{origin}/count"))).body)


def test_many_deliveries_share_a_connection(certificate: Path, origin: str) -> None:
    async def scenario(http: Client) -> Any:
        assert (await http.fetch(post(origin, b"first"))).body == b"first"
        bodies = [str(number).encode() * 1000 for number in range(60)]
        answers = await asyncio.gather(*(http.fetch(post(origin, body)) for body in bodies))
        assert [answer.body for answer in answers] == bodies
        assert all(answer.ok for answer in answers)
        return await counted(http, origin)

    assert run(certificate, scenario) == {"sessions": 1, "versions": {"2.0": 61}}


def test_a_large_body_arrives_completely(certificate: Path, origin: str) -> None:
    body = bytes(range(256)) * 8_192  # 2 MiB, past every window
    request = post(origin, body, timeout=20)

    async def scenario(http: Client) -> Any:
        return await http.fetch(request)

    answer = run(certificate, scenario)
    assert (answer.status, answer.error) == (
        200,
        "too_large",
    )  # what it echoes is past the limit of what is read


@pytest.mark.parametrize("path", ["/reset", "/goaway"])
def test_a_stream_or_session_that_ends_only_fails_its_deliveries(
    certificate: Path, origin: str, path: str
) -> None:
    async def scenario(http: Client) -> Any:
        bad = await http.fetch(post(f"{origin}{path}", b"x"))
        return bad, await http.fetch(post(origin, b"again"))

    bad, good = run(certificate, scenario)
    assert (bad.status, bad.error) == (0, "reset")
    assert (good.status, good.body) == (200, b"again")


def test_retry_after_of_a_busy_target_is_read(certificate: Path, origin: str) -> None:
    async def scenario(http: Client) -> Any:
        return await http.fetch(post(f"{origin}/busy"))

    answer = run(certificate, scenario)
    assert (answer.status, answer.headers["retry-after"]) == (503, "120")
