"""The requests and responses of `workers.http.client`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Failure = Literal[
    "dns_failed",  # the name has no address
    "connect_failed",  # refused, unreachable, or not in time
    "refused_address",  # the guard does not permit the address
    "tls_failed",  # certificate, host name or protocol, or not in time
    "timeout",  # connected, but no whole answer within the request's timeout
    "reset",  # the connection ended before the whole answer was there
    "too_large",  # the answer's body or head is past its limit
    "redirect",  # a 3xx, which is not followed
    "protocol_error",  # not HTTP, or a request that cannot be put as HTTP
    "closed",  # the client was closed before the answer came; says nothing about the target
]

# With these, not a single byte of the request was sent.
NOT_SENT: frozenset[Failure] = frozenset(("dns_failed", "connect_failed", "refused_address", "tls_failed"))


@dataclass(slots=True)
class Request:
    """A POST request.

    `url` must come from `AddressGuard.check_url`; `headers` are checked `name: value` lines, with a content-type;
    `timeout` is in seconds from the start of the call to the end of its answer, `max_body` in bytes of the answer.
    `key` is for the caller, to distinguish calls.

    `once` gives the request a connection of its own. If an existing connection ends without an answer, libcurl sends
    the request again on a new one, although the server may have acted on the first.

    `also` is an address (IP, port) that this request may connect to, besides those that the guard permits. It needs
    `once`, so that no other request uses the connection.
    """

    url: str
    body: bytes
    headers: list[str]
    timeout: float
    max_body: int = 64 * 1024
    key: str | None = None
    once: bool = False
    also: tuple[str, int] | None = None


@dataclass(slots=True)
class Response:
    """The response to a request.

    `status` is 0 if there was no answer. Even with an `error`, there may be a status and a part of the body (an
    incomplete 200), so use `ok` to check for success. `headers` contains content-type, content-length and, with a
    status of 300 or more, retry-after in seconds, if they were sent. `detail` is a readable sentence without secrets.
    `duration` is in seconds, without the wait for a free connection. `address` is the IP address that a response other
    than `ok` came from; empty if there was none.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: Failure | None = None
    detail: str | None = None
    duration: float = 0.0
    address: str = ""

    @property
    def ok(self) -> bool:
        """Return whether it is a complete answer with a status 2xx."""
        return self.error is None and 200 <= self.status < 300
