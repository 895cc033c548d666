"""Sends raw bytes to a port and returns the response, for requests that no HTTP library would send."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message

from tests.harness import Relay


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes


def exchange(relay: Relay, *parts: bytes, half_close: bool = True) -> list[Answer]:
    """Send the parts on one connection. Return all responses until the relay closes it, and any bytes left over."""
    with socket.create_connection(("127.0.0.1", relay.port), 10) as connection:
        received = b""
        with suppress(OSError):  # the relay closed the connection without reading the rest
            for part in parts:
                connection.sendall(part)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                received += piece
    return list(_answers(received))


def _answers(received: bytes) -> list[Answer]:
    found = []
    while received:
        head, blank, rest = received.partition(b"\r\n\r\n")
        assert blank and head.startswith(b"HTTP/1."), received[:200]
        line, _, lines = head.partition(b"\r\n")
        headers = message_from_bytes(lines)
        status = int(line.split()[1])
        length = 0 if status < 200 else int(headers["content-length"])
        assert len(rest) >= length, received[:200]
        if status >= 200:
            found.append(Answer(status, headers, rest[:length]))
        received = rest[length:]
    return found
