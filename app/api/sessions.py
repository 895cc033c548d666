"""Console sessions for calling the API: a cookie, and a CSRF token for requests that change something."""

from __future__ import annotations

import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from flask import current_app, request
from werkzeug.wrappers import Response

from app.api.own_url import base_url
from app.api.problems import Problem
from app.store import Store
from app.store.access.api_keys import ApiKey

PLAIN_COOKIE = "cams_relay_session"
HOST_COOKIE = f"__Host-{PLAIN_COOKIE}"  # browsers only accept it over https, for this host and Path=/
HEADER = "X-CSRF-Token"
FIELD = "csrf_token"
_SAFE = ("GET", "HEAD", "OPTIONS")


def is_secure() -> bool:
    """Return whether the browser uses https, according to the request or RELAY_PUBLIC_URL."""
    return request.is_secure or base_url().startswith("https://")


def cookie_name() -> str:
    """Return the name of the session's cookie.

    Over https, only a `__Host-` cookie is accepted, because another subdomain could set any other cookie. If the
    relay is served below a path, the name contains a digest of it, so that several relays can share a host.
    """
    name = HOST_COOKIE if is_secure() else PLAIN_COOKIE
    path = urlsplit(base_url()).path
    return f"{name}_{sha256(path.encode()).hexdigest()[:16]}" if path else name


def session_token() -> str:
    """Return the token in the session's cookie; empty if there is none."""
    return request.cookies.get(cookie_name(), "")


def set_session(response: Response, token: str) -> None:
    """Set the session's cookie."""
    response.set_cookie(cookie_name(), token, path="/", httponly=True, samesite="Lax", secure=is_secure())


def clear_session(response: Response) -> None:
    """Delete the session's cookie in the browser."""
    response.delete_cookie(cookie_name(), path="/", httponly=True, samesite="Lax", secure=is_secure())


def caller_by_session() -> ApiKey | None:
    """Return the person signed in to the console, or None. Raises a 403 Problem without the page's CSRF token."""
    token = session_token()
    if not token:
        return None
    store: Store = current_app.extensions["store"]
    found = store.sessions.caller(token)
    if found is not None and request.method not in _SAFE:
        check_origin()
        check_csrf(token)
    return found


def check_csrf(token: str) -> None:
    """Raise a 403 Problem unless the CSRF token belongs to the session in the cookie."""
    store: Store = current_app.extensions["store"]
    offered = request.headers.get(HEADER, "")
    if not offered and request.mimetype == "application/x-www-form-urlencoded":
        offered = request.form.get(FIELD, "")
    if not hmac.compare_digest(offered.encode(), store.sessions.csrf(token).encode()):
        raise Problem(
            403, f"This page is out of date. Reload it. (Requests in a session require the header {HEADER}.)"
        )


def check_origin() -> None:
    """Raise a 403 Problem for a request from a page of another site.

    Browsers send Sec-Fetch-Site (over https and on loopback) and Origin, and pages can't forge them. Other programs
    send neither header, but they need the page's CSRF token.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        allowed = site in ("same-origin", "none")
    else:
        origin = request.headers.get("Origin")
        allowed = origin is None or _is_ours(origin)
    if not allowed:
        raise Problem(
            403,
            "The request came from a page on another site. If the page is the relay's own, set "
            "RELAY_PUBLIC_URL to the URL in your browser's address bar.",
        )


def _is_ours(origin: str) -> bool:
    """Return whether an Origin is the relay's own: that of its public URL, or that of the request's host."""
    try:
        netloc = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return bool(netloc) and netloc in (urlsplit(base_url()).netloc.lower(), request.host.lower())
