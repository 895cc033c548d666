"""An HTTP call of `workers.http`: what is asked, and what came of it."""

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

# With these not one byte of the request has been sent.
NOT_SENT: frozenset[Failure] = frozenset(("dns_failed", "connect_failed", "refused_address", "tls_failed"))


@dataclass(slots=True)
class Request:
    """One POST.

    `url` is one that `AddressGuard.check_url` returned; `headers` are checked `name: value` lines, with a
    content-type; `timeout` is in seconds from the start of the call to the end of its answer, `max_body`
    in bytes of the answer. `key` is the caller's own, for telling calls apart.

    `once` keeps the request off reused connections. When such a one ends without an answer libcurl sends
    the request again on a fresh one, and by then the server may have acted on the first.
    """

    url: str
    body: bytes
    headers: list[str]
    timeout: float
    max_body: int = 64 * 1024
    key: str | None = None
    once: bool = False


@dataclass(slots=True)
class Response:
    """What came of a request.

    `status` is 0 when none came. With an `error` there may be a status and a part of the body all the
    same (a 200 cut short), so ask `ok` whether it succeeded. `headers` holds content-type, content-length
    and, with a status from 300 up, retry-after in seconds, of those that were sent. `detail` is a sentence
    for a person, free of secrets. `duration` is in seconds, the wait for a free connection not included.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: Failure | None = None
    detail: str | None = None
    duration: float = 0.0

    @property
    def ok(self) -> bool:
        """A whole answer with a status 2xx."""
        return self.error is None and 200 <= self.status < 300
