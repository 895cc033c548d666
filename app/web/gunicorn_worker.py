"""gunicorn's worker, with `app.web.fast_path` for ordinary callbacks, which bypasses WSGI and Flask."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit

from app.base.gunicorn_internals import LastRequest, Request, Worker, is_read, send_error
from app.base.problem_document import problem_document

if TYPE_CHECKING:
    from app.limits.connections import Connection, Connections
    from app.web.fast_path import Shortcut

_FULL = "The relay can't accept another %s at the moment. Try again in a moment."


class RelayWorker(Worker):
    """Serves many connections in one process."""

    _shortcut: Shortcut | None = None
    _connections: Connections | None = None  # None if another application is served, as in the benchmarks
    _proxies = 0

    def loaded(self, application: Any) -> None:
        # Not earlier: gunicorn's master imports this module, and gevent patches modules that are imported later.
        from app.web.fast_path import shortcut_of

        self._shortcut = shortcut_of(application)
        extensions = getattr(application, "extensions", {})
        self._connections = extensions.get("connections")
        if self._connections is not None:
            self._proxies = extensions["store"].settings.trusted_proxies

    @property
    def has_deadlines(self) -> bool:
        return self._connections is not None

    def admit(self, client: Any, address: Any) -> Any:
        os.sched_yield()  # lets other processes accept some of the waiting connections, even if they share our core
        if self._connections is None:
            return client
        connection = self._connections.admit(client, address)
        if connection is None:
            _refuse(client, "connection")
            client.close()
        return connection

    def answers(self, request: Request, client: Any, address: Any) -> bool:
        if self._connections is None:
            return self._takes(request, client, None)
        client.begin_answer(self._caller(request, address))
        if not request.path.startswith("/callback") and not self._connections.enter_api(client):
            _refuse(client, "request")
            raise LastRequest
        return self._takes(request, client, client)

    def answered(self, request: Request, client: Any) -> None:
        if self._connections is not None:
            client.end_answer(is_read=is_read(request.body))

    def failed(self, request: Request | None, client: Any, address: Any, error: BaseException) -> None:
        """Answer a request that could not be read or answered. Nothing from the request is logged or shown."""
        from app.base.log import request_id
        from app.web.invalid_requests import refusal

        request_id.set(f"req_{secrets.token_hex(12)}")  # in the log line and in the answer
        found = refusal(error)
        sender = address[0] if isinstance(address, tuple) else "a socket"
        if found is not None:
            self.log.warning("a request from %s was refused: %s", sender, found[2])
        else:
            # Without the query, which may hold a callback secret or a signature.
            method, path = (
                getattr(request, "method", "a request"),
                getattr(request, "path", "that was not read"),
            )
            self.log.error("%s %s failed", method, path, exc_info=error)
            found = (
                500,
                "Internal Server Error",
                "An internal error occurred. See the relay's log for details.",
            )
        with suppress(OSError):
            send_error(client, *found)

    def _takes(self, request: Request, client: Any, connection: Connection | None) -> bool:
        """Return whether the request was a callback that the fast path has answered."""
        try:
            done = self._shortcut is not None and self.alive and self._shortcut.takes(request, connection)
        except GreenletExit:  # the worker has to stop
            return True
        if self._shortcut is None or not done:
            return False
        if request.should_close():
            _send(client, self._shortcut.answer("close"))
            raise LastRequest
        _send(client, self._shortcut.answer("keep-alive"))
        return True

    def _caller(self, request: Request, address: Any) -> str:
        """Return the network that a request came from, according to the trusted proxies."""
        from app.limits.callers import forwarded_address, network

        peer = address[0] if isinstance(address, tuple) else "local"
        if not self._proxies:
            return network(peer)
        forwarded = ",".join(value for name, value in request.headers if name == "X-FORWARDED-FOR")
        return network(forwarded_address(peer, forwarded, self._proxies))


def _send(sock: Any, data: bytes) -> None:
    """Send all of a short answer. gevent's sendall would first ask the kernel for the size of its buffer."""
    sent = sock.send(data)
    if sent < len(data):
        sock.sendall(data[sent:])


def _refuse(sock: Any, what: str) -> None:
    """Answer 503. The caller must then close the connection."""
    body = json.dumps(problem_document(503, _FULL % what)).encode()
    head = (
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
        b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n"
    ) % len(body)
    with suppress(OSError):
        sock.send(head + body)
