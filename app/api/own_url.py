"""The URL that callers reach the relay at."""

from __future__ import annotations

from functools import lru_cache

from flask import current_app, request
from werkzeug.sansio.utils import get_current_url, get_host


def base_url() -> str:
    """The URL the world reaches us at, without a slash at its end."""
    environ = request.environ
    server = (environ.get("SERVER_NAME", ""), environ.get("SERVER_PORT", ""))
    public_url: str | None = current_app.extensions["store"].settings.public_url
    return public_url or origin(environ["wsgi.url_scheme"], environ.get("HTTP_HOST"), *server)


@lru_cache(maxsize=256)  # every callback asks, and the answer is as a rule the same
def origin(scheme: str, host: str | None, name: str = "", port: str = "") -> str:
    """The URL of a server by a request's Host, or else by its own name and port."""
    server = (name, int(port) if port.isdigit() else None) if name else None
    # A Host that can't be one counts as none: it makes no link, and holds up no callback.
    found = get_host(scheme, host, server) or get_host(scheme, None, server)
    return get_current_url(scheme, found).rstrip("/")
