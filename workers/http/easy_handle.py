"""A call in libcurl: its options, its sockets, its answer, and readable errors.

`workers.http.client` runs many of them at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable

import pycurl

from app.base.addresses import AddressGuard
from workers.http.messages import NOT_SENT, Failure, Request, Response
from workers.http.resolver import NAME_TTL

log = logging.getLogger(__name__)

MAX_HEAD = 64 * 1024  # bytes of all response headers; libcurl itself stops reading at 300 KiB
CONNECTION_LIFETIME = 600  # seconds until a connection in use is renewed, to notice new addresses of a name

Done = Callable[[Response], None]


class Call:
    """A call under way, for `Client.cancel`."""

    __slots__ = ("chunks", "done", "easy", "expiry", "opened", "refused", "request", "room", "started")

    def __init__(self, request: Request, done: Done) -> None:
        self.request = request
        self.done: Done | None = done  # None once it was called or the call cancelled
        self.started = -1.0  # loop time; negative while waiting for a free connection
        self.easy: EasyHandle | None = None  # set while libcurl has it
        self.expiry: asyncio.TimerHandle | None = None  # set while its name is looked up
        self.room = request.max_body  # bytes by which the body may still grow; negative: it is too large
        self.chunks: list[bytes] = []
        self.refused: str | None = None  # an address that was refused
        self.opened = False  # whether it was allowed to open a socket


class EasyHandle(pycurl.Curl):
    """A handle of libcurl's easy interface. Its constant options are set once. It is used for one call at a time."""

    def __new__(cls, *_: object) -> EasyHandle:
        return super().__new__(cls)

    def __init__(self, guard: AddressGuard, user_agent: str, connect_timeout: float, ca_file: str) -> None:
        self.call: Call | None = None
        self._guard = guard
        self._timeout = 0  # milliseconds, as last set
        self._once = False
        self._has_dns_entry = False
        for option, value in (
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.POST, 1),
            (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS),  # if an https target offers it
            (pycurl.HTTP09_ALLOWED, 0),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.HTTP_CONTENT_DECODING, 0),  # no compression, so that a small answer stays small
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.PROXY, ""),  # not even the environment's, because it would bypass the guard
            (pycurl.NOPROXY, "*"),
            (pycurl.USERAGENT, user_agent),
            (pycurl.NOSIGNAL, 1),
            (pycurl.TCP_NODELAY, 1),
            (pycurl.CONNECTTIMEOUT_MS, _milliseconds(connect_timeout)),
            (pycurl.MAXLIFETIME_CONN, CONNECTION_LIFETIME),
            (pycurl.DNS_CACHE_TIMEOUT, int(2 * NAME_TTL)),  # `Names` renews entries before they expire
            (pycurl.SSL_VERIFYPEER, 1),
            (pycurl.SSL_VERIFYHOST, 2),
            (pycurl.CAINFO, ca_file),
            (pycurl.OPENSOCKETFUNCTION, self._open_socket),
            (pycurl.WRITEFUNCTION, self._take_body),
        ):
            self.setopt(option, value)

    def prepare(self, call: Call, timeout: float, dns_entry: str | None) -> None:
        """Set the options that differ from call to call; `timeout` is the remaining time in seconds."""
        request = call.request
        self.call = call
        self.setopt(pycurl.URL, request.url)
        self.setopt(pycurl.POSTFIELDS, request.body)
        # Without this, libcurl asks before sending a large body, and waits a second for the answer.
        lines = [line.encode("latin-1") for line in request.headers]
        self.setopt(pycurl.HTTPHEADER, [*lines, b"Expect:"])
        milliseconds = _milliseconds(timeout)
        if milliseconds != self._timeout:
            self.setopt(pycurl.TIMEOUT_MS, milliseconds)
            self._timeout = milliseconds
        if request.once != self._once:
            self.setopt(pycurl.FRESH_CONNECT, request.once)
            self.setopt(pycurl.FORBID_REUSE, request.once)
            self._once = request.once
        if dns_entry is not None:
            self.setopt(pycurl.RESOLVE, [dns_entry])
            self._has_dns_entry = True

    def clear(self) -> None:
        """Release the call and its body."""
        self.call = None
        self.setopt(pycurl.POSTFIELDS, b"")
        if self._has_dns_entry:  # otherwise, the next call would put an old address into the cache
            self.unsetopt(pycurl.RESOLVE)
            self._has_dns_entry = False

    def response(self, call: Call, code: int, message: str) -> Response:
        """Return the response of a call that libcurl ended with `code` (0: success) and `message`."""
        status = self.getinfo(pycurl.RESPONSE_CODE)
        if status < 200:  # only an interim response
            status = 0
        if code:
            error, detail = self._failure(call, code, message)
        elif self.getinfo(pycurl.HEADER_SIZE) > MAX_HEAD:
            error, detail = "too_large", f"The response headers are larger than {MAX_HEAD} bytes."
        elif 300 <= status < 400:
            error, detail = "redirect", f"The response was {status}, a redirect. Redirects are not followed."
        else:
            error, detail = None, None
        chunks = call.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        response = Response(status, self._headers(status), body, error, detail)
        if not response.ok:
            response.address = self.getinfo(pycurl.PRIMARY_IP)
        return response

    def _headers(self, status: int) -> dict[str, str]:
        # libcurl has read these anyway. A callback for every header line costs a fifth of the throughput.
        headers = {}
        kind = self.getinfo_raw(pycurl.CONTENT_TYPE)
        if kind is not None:
            headers["content-type"] = kind.decode("latin-1")
        length = self.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        if length >= 0:
            headers["content-length"] = str(length)
        if status >= 300:
            wait = self.getinfo(pycurl.RETRY_AFTER)
            if wait > 0:
                headers["retry-after"] = str(wait)
        return headers

    def _failure(self, call: Call, code: int, message: str) -> tuple[Failure, str]:
        failure = self._explain(call, code, message)
        if failure[0] in NOT_SENT and self.getinfo(pycurl.REQUEST_SIZE) > 0:
            # It was sent on a reused connection, which ended. The error is from libcurl's second try.
            return "reset", "The connection closed without a response, and a new connection failed."
        return failure

    def _explain(self, call: Call, code: int, message: str) -> tuple[Failure, str]:
        if code == pycurl.E_WRITE_ERROR and call.room < 0:
            limit = call.request.max_body
            return "too_large", f"The response body is larger than {limit} bytes. The rest was not read."
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return self._explain_timeout()
        if code == pycurl.E_COULDNT_CONNECT:
            if call.refused is not None and not call.opened:
                return "refused_address", self._guard.refusal(call.refused)
            reason = os.strerror(self.getinfo(pycurl.OS_ERRNO) or errno.ENOTCONN)
            return "connect_failed", f"Could not connect to the host: {reason}."
        if code in _TLS_FAILURES:
            reason = message.encode("ascii", "replace").decode()[:200]
            return "tls_failed", f"The TLS handshake with the host failed: {reason}."
        return _FAILURES.get(code, ("protocol_error", f"The request failed with libcurl error {code}."))

    def _explain_timeout(self) -> tuple[Failure, str]:
        """Explain how far a call got before the timeout."""
        if self.getinfo(pycurl.CONNECT_TIME) == 0:
            return "connect_failed", "The connection to the host timed out."
        if self.getinfo(pycurl.REQUEST_SIZE) == 0:
            return "tls_failed", "The TLS handshake with the host timed out."
        if self.getinfo(pycurl.HEADER_SIZE) == 0:
            return "timeout", "The host accepted the connection but didn't respond in time."
        return "timeout", "The host started to respond but didn't finish in time."

    # Called by libcurl

    def _open_socket(self, _purpose: int, address: pycurl.CurlSockAddr) -> int:
        assert self.call is not None
        ip = str(address.addr[0])
        if not self._guard.permits(ip) and (ip, address.addr[1]) != self.call.request.also:
            self.call.refused = ip
            return pycurl.SOCKET_BAD
        self.call.opened = True
        try:
            return socket.socket(address.family, address.socktype, address.protocol).detach()
        except OSError as problem:  # too many open files
            log.error("no socket could be opened: %s", problem.strerror)
            return pycurl.SOCKET_BAD

    def _take_body(self, chunk: bytes) -> int | None:
        """Keep a piece of the body; returning 0 makes libcurl give up."""
        call = self.call
        assert call is not None
        room = call.room
        call.room = room - len(chunk)
        if call.room < 0:
            call.chunks.append(chunk[:room])
            return 0
        call.chunks.append(chunk)
        return None


_FAILURES: dict[int, tuple[Failure, str]] = {
    pycurl.E_UNSUPPORTED_PROTOCOL: ("protocol_error", "The response is not HTTP/1.1 or HTTP/2."),
    pycurl.E_URL_MALFORMAT: ("protocol_error", "The URL is malformed."),
    pycurl.E_COULDNT_RESOLVE_HOST: ("dns_failed", "The host name could not be resolved."),
    pycurl.E_FTP_WEIRD_SERVER_REPLY: ("protocol_error", "The response is not valid HTTP."),
    pycurl.E_PARTIAL_FILE: ("reset", "The connection closed before the response was complete."),
    pycurl.E_GOT_NOTHING: ("reset", "The connection closed without a response."),
    pycurl.E_SEND_ERROR: ("reset", "The connection was lost while the request was being sent."),
    pycurl.E_RECV_ERROR: ("reset", "The connection was lost before the response was complete."),
    pycurl.E_HTTP2: ("reset", "The HTTP/2 session ended without a response."),
    92: ("reset", "The HTTP/2 stream ended without a response."),
    100: ("too_large", "The response headers are too large."),  # E_TOO_LARGE, which pycurl doesn't name
}
_TLS_FAILURES = frozenset(
    (
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_INVALIDCERTSTATUS,
    )
)


def _milliseconds(seconds: float) -> int:
    """Return milliseconds for libcurl, for which 0 means no limit."""
    return max(1, int(seconds * 1000))
