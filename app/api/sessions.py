"""The console's session as a way to call the API: a cookie, and a token beside it where something is changed."""

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
HOST_COOKIE = (
    f"__Host-{PLAIN_COOKIE}"  # browsers take it from this host over https only, with Path=/ and no Domain
)
HEADER = "X-CSRF-Token"
FIELD = "csrf_token"
_SAFE = ("GET", "HEAD", "OPTIONS")


def is_secure() -> bool:
    """Whether the browser is at https, as the request or RELAY_PUBLIC_URL says."""
    return request.is_secure or base_url().startswith("https://")


def cookie_name() -> str:
    """The name of the session's cookie; over https no other one counts, which a neighbouring host could have set.

    It contains a digest of the path that the relay is below, if any: another relay on this host has its own cookie.
    """
    name = HOST_COOKIE if is_secure() else PLAIN_COOKIE
    path = urlsplit(base_url()).path
    return f"{name}_{sha256(path.encode()).hexdigest()[:16]}" if path else name


def session_token() -> str:
    """The token in the session's cookie; empty if there is none."""
    return request.cookies.get(cookie_name(), "")


def set_session(response: Response, token: str) -> None:
    """Sets the session's cookie."""
    response.set_cookie(cookie_name(), token, path="/", httponly=True, samesite="Lax", secure=is_secure())


def clear_session(response: Response) -> None:
    """Has the browser drop the session's cookie."""
    response.delete_cookie(cookie_name(), path="/", httponly=True, samesite="Lax", secure=is_secure())


def caller_by_session() -> ApiKey | None:
    """Who signed in to the console and calls from its pages. Raises a 403 Problem without the page's token."""
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
    """Raises a 403 Problem if the request doesn't come from a page that was given out for this cookie."""
    store: Store = current_app.extensions["store"]
    offered = request.headers.get(HEADER, "")
    if not offered and request.mimetype == "application/x-www-form-urlencoded":
        offered = request.form.get(FIELD, "")
    if not hmac.compare_digest(offered.encode(), store.sessions.csrf(token).encode()):
        raise Problem(
            403, f"This page is out of date. Reload it. (Requests in a session require the header {HEADER}.)"
        )


def check_origin() -> None:
    """Raises a 403 Problem for a request that a page of another site has made.

    Browsers say so themselves in Sec-Fetch-Site (over https and on loopback), and in Origin; no page can forge either.
    A program sends neither: it has the page's token, which it must have read.
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
    """Whether an Origin is the relay's: by its public URL, or by the host that was asked."""
    try:
        netloc = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return bool(netloc) and netloc in (urlsplit(base_url()).netloc.lower(), request.host.lower())
