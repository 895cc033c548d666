"""The parts of gunicorn that the relay uses, most of which gunicorn may change. No other module imports gunicorn.

`tests/internals/test_gunicorn_internals.py` fails if a new version of gunicorn has changed any of them. gunicorn's
master imports this module before gevent patches anything, so it only imports gunicorn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Protocol

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.http.body import Body  # type: ignore[import-untyped]
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

__all__ = ["Body", "LastRequest", "Request", "UnreadableRequest", "Worker", "errors"]

UnreadableRequest = errors.ParseException
LastRequest = StopIteration  # ends the connection if it is raised while a request is answered


class Request(Protocol):
    """A request whose header has been read."""

    method: str
    scheme: str
    path: str
    query: str
    version: tuple[int, int]
    headers: list[tuple[str, str]]  # names in capitals, repeated if they were sent repeatedly
    body: Any  # a Body

    def force_close(self) -> None:
        """Read no more requests from the connection."""

    def should_close(self) -> bool:
        """Return whether the client or `force_close` ends the connection after this request."""


class Worker(GeventWorker, ABC):  # type: ignore[misc]
    """gunicorn's gevent worker, with hooks for a subclass."""

    @abstractmethod
    def loaded(self, application: Any) -> None:
        """Called in each process with the WSGI application, before the first connection."""

    @property
    @abstractmethod
    def has_deadlines(self) -> bool:
        """Whether connections themselves limit the wait for a request; otherwise, gunicorn does."""

    @abstractmethod
    def admit(self, client: Any, address: Any) -> Any:
        """Return a replacement for a new connection's socket; None if the connection was refused and closed."""

    @abstractmethod
    def answers(self, request: Request, client: Any, address: Any) -> bool:
        """Answer a request, or return False, so that the WSGI application answers. Raises LastRequest."""

    @abstractmethod
    def answered(self, request: Request, client: Any) -> None:
        """Called after a request was answered, unless its connection ends."""

    @abstractmethod
    def failed(self, request: Request | None, client: Any, address: Any, error: BaseException) -> None:
        """Answer a request that couldn't be read or answered."""

    # Called by gunicorn

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.loaded(self.wsgi)

    def timeout_ctx(self) -> Any:
        return nullcontext() if self.has_deadlines else super().timeout_ctx()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        admitted = self.admit(client, addr)
        if admitted is not None:
            super().handle(listener, admitted, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        if not self.answers(req, sock, addr):
            super().handle_request(listener_name, req, sock, addr)
        self.answered(req, sock)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        self.failed(req, client, addr, exc)


def is_read(body: Any) -> bool:
    """Return whether a request's body was read completely."""
    reader = body.reader
    return not getattr(reader, "length", 0) and getattr(reader, "parser", None) is None


def socket_of(environ: Mapping[str, Any]) -> Any:
    """Return the replacement for a request's socket from its WSGI environment; None with other servers."""
    return environ.get("gunicorn.socket")


def application_of(worker: Any) -> Any:
    """Return the WSGI application of a worker; None if it couldn't be loaded."""
    return getattr(worker, "wsgi", None)


def send(client: Any, data: bytes) -> None:
    """Send a short answer without waiting."""
    util.write_nonblock(client, data)


def send_error(client: Any, status: int, reason: str, message: str) -> None:
    """Answer an error in the same way as gunicorn answers requests that it refuses."""
    util.write_error(client, status, reason, message)


def send_errors_with(answer: Callable[[Any, int, str, str], None]) -> None:
    """Make gunicorn answer the requests that it refuses with our function: socket, status, reason, message."""
    util.write_error = answer
