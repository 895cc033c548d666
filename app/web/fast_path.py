"""Receives ordinary callbacks without WSGI and Flask, which cost as much as everything else together.

Only simple requests are handled here. The view in `app.api.callback` handles the rest: other requests, bodies without
a length, IDs with other characters, and callbacks that are refused.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from functools import lru_cache
from io import BytesIO
from typing import NamedTuple

from flask import Flask

from app.api.callback import DONE, is_version_1
from app.api.own_url import origin
from app.base.gunicorn_internals import Body, Request
from app.base.log import REQUEST_ID, REQUEST_ID_HEADER, request_id
from app.callbacks.body import Refused
from app.callbacks.receiver import Receiver
from app.callbacks.url import url_parts
from app.limits.connections import Connection
from app.schemas.lengths import LARGEST_BODY

_REQUEST_ID = REQUEST_ID_HEADER.upper()
_PATH = re.compile(r"/callback(?:/([A-Za-z0-9._-]+))?")
_QUERY = re.compile(r"(?:stgid=([A-Za-z0-9._-]+))?")
_QUERY_WITH_SECRET = re.compile(r"(?:(?:k|stgid)=[A-Za-z0-9._-]{1,100}(?:[&?]|\Z)){1,4}")
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]+)?")
_ONLY_ONCE = frozenset(("HOST", "CONTENT-LENGTH", _REQUEST_ID))
_NOT_HERE = frozenset(("CONTENT-ENCODING", "EXPECT", "TRANSFER-ENCODING"))


class Replayed(Body):  # type: ignore[misc]
    """A body that was already read, for the view to read again, and why its callback was refused, if it was."""

    def __init__(self, data: bytes, refused: Refused | None) -> None:
        super().__init__(BytesIO(data))
        self.data, self.refused = data, refused


class _Callback(NamedTuple):
    hints: list[str]
    secret: str
    length: int
    host: str
    request_id: str | None  # from the caller, if it sent one


class Shortcut:
    """Receives callbacks for one process."""

    def __init__(self, receiver: Receiver, public_url: str | None) -> None:
        self._receiver, self._public_url = receiver, public_url

    def answer(self, connection: str) -> bytes:
        """Return the whole answer to a callback that was received; `connection` is the value of that header."""
        named = request_id.get()
        answer = _answer(int(time.time()), connection)
        return answer if named is None else _named(answer, named)

    def takes(self, req: Request, connection: Connection | None = None) -> bool:
        """Return whether the request is a callback that was received here. If not, the view can still read it."""
        callback = _callback(req)
        if callback is None:
            return False
        request_id.set(callback.request_id)
        body, refused = b"", None
        try:
            body = req.body.read(callback.length)
            if len(body) == callback.length:
                if connection is not None:
                    connection.body_is_whole()
                if callback.secret and is_version_1(body):  # the view's answer is different
                    req.body = Replayed(body, None)
                    return False
                base_url = self._public_url or origin(req.scheme, callback.host)
                self._receiver.receive(body, callback.hints, base_url, callback.secret, connection)
                return True
            req.force_close()
        except Refused as error:
            refused = error
        except Exception:
            if len(body) != callback.length:
                req.force_close()  # it isn't known where the next request begins
        req.body = Replayed(body, refused)  # any other error happens again in the view, which reports it
        return False


def shortcut_of(app: object) -> Shortcut | None:
    """Return the relay's fast path, or None if another application is served, as in the benchmarks."""
    if not isinstance(app, Flask) or "receiver" not in app.extensions:
        return None
    settings = app.extensions["store"].settings
    # Only werkzeug's ProxyFix evaluates the host that a proxy forwards.
    if settings.trusted_proxies and not settings.public_url:
        return None
    return Shortcut(app.extensions["receiver"], settings.public_url)


def _callback(req: Request) -> _Callback | None:
    """Return the relevant parts of a request if it is an ordinary callback, otherwise None."""
    if req.method != "POST" or req.version != (1, 1):
        return None
    path = _PATH.fullmatch(req.path)
    if path is None:
        return None
    hints, secret = [hint for hint in path.groups() if hint], ""
    if req.query:
        query = _QUERY.fullmatch(req.query)
        if query is not None:
            hints.append(query[1])
        elif _QUERY_WITH_SECRET.fullmatch(req.query) is not None:
            found_in_query, secret = url_parts(req.query)
            hints += found_in_query
        else:
            return None
    found: dict[str, str] = {}
    for name, value in req.headers:
        if name in _NOT_HERE or name in found:
            return None
        if name in _ONLY_ONCE:
            found[name] = value
    length, host = found.get("CONTENT-LENGTH", ""), found.get("HOST", "")
    if (
        _HOST.fullmatch(host) is None
        or not (length.isascii() and length.isdigit())
        or int(length) > LARGEST_BODY
    ):
        return None
    named = found.get(_REQUEST_ID)
    if named is not None and REQUEST_ID.fullmatch(named) is None:
        named = None
    return _Callback(hints, secret, int(length), host, named)


@lru_cache(maxsize=4)  # shared by all answers within a second
def _answer(now: int, connection: str) -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: {formatdate(now, usegmt=True)}\r\nConnection: {connection}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(DONE)}\r\n\r\n"
    )
    return head.encode() + DONE


def _named(answer: bytes, named: str) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    return b"%b\r\n%b: %b\r\n\r\n%b" % (head, REQUEST_ID_HEADER.encode(), named.encode(), body)
