"""The check of the public URL reports invalid responses as problems."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from app.health.findings import problems
from app.health.public_url import public_url_problems


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 1000\r\n\r\n{",  # ends too early
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{",
    ],
)
def test_a_broken_answer_is_a_problem_and_no_exception(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        settings: Any = SimpleNamespace(
            public_url=f"http://127.0.0.1:{server.getsockname()[1]}", allow_private_targets="all"
        )
        vault: Any = SimpleNamespace(digest=lambda *_: "0" * 32)
        (problem,) = problems(public_url_problems(settings, vault))
        thread.join()
    assert "doesn't answer" in problem
