"""The relay's own URL, as callers use it."""

from __future__ import annotations

from functools import lru_cache

from flask import current_app, request
from werkzeug.sansio.utils import get_current_url, get_host


def base_url() -> str:
    """Return the relay's public URL, without a slash at its end."""
    environ = request.environ
    server = (environ.get("SERVER_NAME", ""), environ.get("SERVER_PORT", ""))
    public_url: str | None = current_app.extensions["store"].settings.public_url
    return public_url or origin(environ["wsgi.url_scheme"], environ.get("HTTP_HOST"), *server)


@lru_cache(maxsize=256)  # needed for every callback, and the result rarely differs
def origin(scheme: str, host: str | None, name: str = "", port: str = "") -> str:
    """Return a server's URL from a request's Host header, or else from the server's name and port."""
    server = (name, int(port) if port.isdigit() else None) if name else None
    # Ignore an invalid Host header, so that it appears in no link and doesn't stop a callback.
    found = get_host(scheme, host, server) or get_host(scheme, None, server)
    return get_current_url(scheme, found).rstrip("/")
