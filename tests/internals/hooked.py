"""A gunicorn worker that records which of its hooks gunicorn calls, and an application that returns them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from app.base.gunicorn_internals import LastRequest, Request, Worker, is_read, send_error, socket_of

CALLS: list[str] = []


class Socket:
    """A replacement for a client's socket."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Recorder(Worker):
    """Answers /direct itself, and refuses connections from port 1."""

    has_deadlines = False

    def loaded(self, application: Any) -> None:
        CALLS.append(f"loaded {application.__name__}")

    def admit(self, client: Any, address: Any) -> Any:
        CALLS.append(f"admit {address[0]}")
        return Socket(client)

    def answers(self, request: Request, client: Any, address: Any) -> bool:
        CALLS.append(f"answers {request.path} {type(client).__name__}")
        if request.path == "/direct":
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ndirect")
            return True
        if request.path == "/last":
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast")
            raise LastRequest
        if request.path == "/fail":
            raise RuntimeError("made up")
        return False

    def answered(self, request: Request, client: Any) -> None:
        CALLS.append(f"answered {request.path} {is_read(request.body)}")

    def failed(self, request: Request | None, client: Any, address: Any, error: BaseException) -> None:
        CALLS.append(f"failed {getattr(request, 'path', None)} {type(error).__name__}")
        send_error(client, 500, "Made Up", "made up")


def tell(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Return the calls so far."""
    found = json.dumps([*CALLS, type(socket_of(environ)).__name__]).encode()
    start_response("200 OK", [("Content-Length", str(len(found)))])
    return [found]
