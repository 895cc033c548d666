"""The path in RELAY_PUBLIC_URL, if a reverse proxy serves the relay below one, as in https://hr.example.com/relay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class PublicPath:
    """Makes links begin with the path. Requests are accepted with and without it, because proxies send both."""

    def __init__(self, app: WSGIApplication, path: str, *, take_off: bool) -> None:
        self._app = app
        self._path = path
        self._take_off = take_off

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = self._path
        asked = environ["PATH_INFO"]
        if self._take_off and (asked == self._path or asked.startswith(f"{self._path}/")):
            environ["PATH_INFO"] = asked.removeprefix(self._path) or "/"
        return self._app(environ, start_response)


def serve_below_public_path(app: Flask, public_url: str | None) -> None:
    """Make an application also answer below the path of its public URL. All routes must have been added."""
    path = unquote(urlsplit(public_url or "").path.rstrip("/"), "latin-1")
    if not path:
        return
    # If one of our routes begins like the path, only the proxy can know which of the two is meant.
    ours = {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}
    take_off = path.split("/")[1] not in ours
    app.wsgi_app = PublicPath(app.wsgi_app, path, take_off=take_off)  # type: ignore[method-assign]
