"""The way of an ordinary callback past Flask, whose routing and contexts cost as much as receiving it.

Only what is simply done is answered here. All else goes on to the view in `app.api.callback`: other requests, bodies
without a length, ids of other characters, and callbacks that are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from flask import Flask

from app.api.callback import DONE, REFUSED
from app.api.io import LARGEST_BODY, base_url_of
from app.receiver import Receiver, Refused

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PATH = re.compile(r"/callback(?:/([A-Za-z0-9._-]+))?")
_QUERY = re.compile(r"(?:stgid=([A-Za-z0-9._-]+))?")
_HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(DONE)))]


class Shortcut:
    """WSGI around a Flask application."""

    def __init__(self, app: Flask) -> None:
        self._flask = app.wsgi_app
        self._receiver: Receiver = app.extensions["receiver"]
        self._settings = app.extensions["store"].settings

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST" and self._is_done(environ):
            start_response("200 OK", _HEADERS)
            return (DONE,)
        return self._flask(environ, start_response)

    def _is_done(self, environ: WSGIEnvironment) -> bool:
        """Whether it is a callback, and received; else it can be read once more."""
        path = _PATH.fullmatch(environ["PATH_INFO"])
        query = _QUERY.fullmatch(environ.get("QUERY_STRING", ""))
        length = environ.get("CONTENT_LENGTH", "")
        if (
            path is None
            or query is None
            or not (length.isascii() and length.isdigit())
            or int(length) > LARGEST_BODY
        ):
            return False
        body = b""
        try:
            body = environ["wsgi.input"].read(int(length))
            if len(body) == int(length):
                hints = [hint for hint in path.groups() + query.groups() if hint]
                self._receiver.receive(body, hints, base_url_of(self._settings, environ))
                return True
        except Refused as refused:
            environ[REFUSED] = refused
        except Exception:
            pass  # the view meets the same, and says so
        environ["wsgi.input"] = BytesIO(body)
        return False
