"""The check of the public URL reports invalid responses as problems."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.health import public_url
from app.health.findings import problems
from app.health.public_url import public_url_problems


def problem_of(serve: Callable[[socket.socket], None]) -> str:
    """Return the problem that the check finds while this function serves its connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        settings: Any = SimpleNamespace(
            public_url=f"http://127.0.0.1:{server.getsockname()[1]}", allow_private_targets="all"
        )
        vault: Any = SimpleNamespace(digest=lambda *_: "0" * 32)
        (problem,) = problems(public_url_problems(settings, vault))
        thread.join()
    return problem


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",  # ends too early
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{",
        b"\0\0\0\0",
    ],
)
def test_a_broken_answer_is_a_problem_and_no_exception(answer: bytes) -> None:
    assert "doesn't answer" in problem_of(lambda connection: connection.sendall(answer))


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 1000\r\n\r\n{",  # ends too early
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"Location: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 100000000\r\n\r\n" + b" " * 200_000,
    ],
)
def test_a_strange_answer_is_not_that_of_the_relay(answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

    assert "something else answers" in problem_of(serve)


@pytest.mark.parametrize(
    ("begin", "part", "found"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" ", "something else answers"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", "it took more than ten seconds"),
        (b"", b"H", "doesn't answer"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "it took more than ten seconds"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a", "it took more than ten seconds"),
    ],
)
def test_an_answer_that_never_ends_is_read_for_a_limited_time(
    begin: bytes, part: bytes, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_url, "_SECONDS", 0.5)
    sent = 0

    def drip(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(begin)
        with contextlib.suppress(OSError):
            while sent < 100:
                connection.sendall(part)
                sent += 1
                time.sleep(0.1)

    assert found in problem_of(drip)
    assert sent < 100
