"""The way of an ordinary callback past WSGI and Flask, which cost as much as receiving it.

Only what is simply done is taken here. All else goes on to the view in `app.api.callback`: other requests, bodies
without a length, ids of other characters, and callbacks that are refused.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

from flask import Flask
from gunicorn.http.body import Body  # type: ignore[import-untyped]

from app.api.callback import DONE
from app.api.io import LARGEST_BODY, origin
from app.callback_body import Refused
from app.log import REQUEST_ID, REQUEST_ID_HEADER, request_id
from app.receiver import Receiver

_REQUEST_ID = REQUEST_ID_HEADER.upper()
_PATH = re.compile(r"/callback(?:/([A-Za-z0-9._-]+))?")
_QUERY = re.compile(r"(?:stgid=([A-Za-z0-9._-]+))?")
_HOST = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]+)?")
_ONLY_ONCE = frozenset(("HOST", "CONTENT-LENGTH", _REQUEST_ID))
_NOT_HERE = frozenset(("EXPECT", "TRANSFER-ENCODING"))


class Replayed(Body):  # type: ignore[misc]
    """A body that was read already, for the view to read, and why the callback was refused if it was."""

    def __init__(self, data: bytes, refused: Refused | None) -> None:
        super().__init__(BytesIO(data))
        self.refused = refused


class _Callback(NamedTuple):
    hints: list[str]
    length: int
    host: str
    request_id: str | None  # the caller's; there is no other here


class Shortcut:
    """Takes callbacks for one process."""

    def __init__(self, receiver: Receiver, public_url: str | None) -> None:
        self._receiver, self._public_url = receiver, public_url

    def answer(self, connection: str) -> bytes:
        """What a callback that was taken is answered, whole; `connection` is what becomes of it."""
        named = request_id.get()
        answer = _answer(int(time.time()), connection)
        return answer if named is None else _named(answer, named)

    def takes(self, req: Any) -> bool:
        """Whether it is a callback, and received; else the view finds the request as it came."""
        callback = _callback(req)
        if callback is None:
            return False
        request_id.set(callback.request_id)
        body, refused = b"", None
        try:
            body = req.body.read(callback.length)
            if len(body) == callback.length:
                base_url = self._public_url or origin(req.scheme, callback.host)
                self._receiver.receive(body, callback.hints, base_url)
                return True
            req.force_close()
        except Refused as error:
            refused = error
        except Exception:
            if len(body) != callback.length:
                req.force_close()  # where the next request begins is not known
        req.body = Replayed(body, refused)  # the view meets any other error again, and says so
        return False


def shortcut_of(app: object) -> Shortcut | None:
    """The relay's; None where another application is served, as in the benchmarks."""
    if not isinstance(app, Flask) or "receiver" not in app.extensions:
        return None
    settings = app.extensions["store"].settings
    # Whose host it is that a proxy forwards, only werkzeug's ProxyFix says.
    if settings.trusted_proxies and not settings.public_url:
        return None
    return Shortcut(app.extensions["receiver"], settings.public_url)


def _callback(req: Any) -> _Callback | None:
    """What has to be known of a request that is an ordinary callback; None of any other."""
    if req.method != "POST" or req.version != (1, 1):
        return None
    path, query = _PATH.fullmatch(req.path), _QUERY.fullmatch(req.query or "")
    if path is None or query is None:
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
    return _Callback([hint for hint in path.groups() + query.groups() if hint], int(length), host, named)


@lru_cache(maxsize=4)  # for every answer of a second
def _answer(now: int, connection: str) -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: {formatdate(now, usegmt=True)}\r\nConnection: {connection}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(DONE)}\r\n\r\n"
    )
    return head.encode() + DONE


def _named(answer: bytes, named: str) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    return b"%b\r\n%b: %b\r\n\r\n%b" % (head, REQUEST_ID_HEADER.encode(), named.encode(), body)
