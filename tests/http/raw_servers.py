"""Raw servers on 127.0.0.1 that behave as configured, well or badly, and a client to call them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.base.addresses import AddressGuard
from workers.http.client import Client
from workers.http.messages import Request, Response

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n" + b'{"ok":true}'

Behaviour = Callable[["Connection"], Awaitable[None]]


@dataclass
class Connection:
    """One accepted connection, and what its server has received so far on all of them."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: Server

    async def request(self) -> tuple[bytes, bytes]:
        """Read one request: its head and its body. Raises IncompleteReadError when the client hung up."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = await self.reader.readexactly(length)
        self.server.requests.append((head, body))
        return head, body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close the connection with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@dataclass
class Server:
    behaviour: Behaviour
    port: int = 0
    connections: int = 0
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self.behaviour(Connection(reader, writer, self))
        writer.close()


@contextlib.asynccontextmanager
async def serve(
    behaviour: Behaviour, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    server = Server(behaviour)
    listener = await asyncio.start_server(server.accept, host, 0, ssl=tls, backlog=1024)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


async def answer_ok(connection: Connection) -> None:
    """Answer every request on the connection."""
    while True:
        await connection.request()
        await connection.send(OK)


def answering(data: bytes) -> Behaviour:
    """Read one request, send `data`, close."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)

    return behave


@contextlib.asynccontextmanager
async def client(allowed: str = "127.0.0.0/8,::1/128", **options: Any) -> AsyncIterator[Client]:
    made = Client(AddressGuard(allowed), user_agent="cams-relay/test", **options)
    try:
        yield made
    finally:
        await made.close()
        assert made.active == 0


def post(url: str, body: bytes = b"{}", timeout: float = 5.0, **options: Any) -> Request:
    return Request(url, body, ["content-type: application/json"], timeout, **options)


async def call(behaviour: Behaviour, **options: Any) -> Response:
    """Return the response of one call to a server with this behaviour."""
    async with serve(behaviour) as server, client() as http:
        return await http.fetch(post(server.url, **options))


@pytest.fixture
def blackhole() -> Iterator[int]:
    """A port on which no address of 127/8 answers: its backlog is full, so further SYNs are dropped."""
    listener = socket.socket()
    listener.bind(("0.0.0.0", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(64):
        filler = socket.socket()
        filler.settimeout(0.2)
        fillers.append(filler)
        try:
            filler.connect(("127.0.0.1", port))
        except OSError:
            break
    else:
        pytest.skip("this system's backlog cannot be filled")
    yield port
    for sock in [listener, *fillers]:
        sock.close()


def run(test: Callable[[], Any]) -> Any:
    """Run a coroutine function, and return its result. Raises TimeoutError after 25 s."""
    return asyncio.run(asyncio.wait_for(test(), 25))


async def hang(connection: Connection) -> None:
    await asyncio.sleep(30)


async def drip_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    while True:
        await connection.send(b"x")
        await asyncio.sleep(0.02)
