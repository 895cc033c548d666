"""The console's session as a way to call the API: a cookie, and a token beside it where something is changed."""

from __future__ import annotations

import hmac

from flask import current_app, request

from app.api.problems import Problem
from app.store import Store
from app.store.api_keys import ApiKey

COOKIE = "cams_relay_session"
HEADER = "X-CSRF-Token"
FIELD = "csrf_token"
_SAFE = ("GET", "HEAD", "OPTIONS")


def caller_by_session() -> ApiKey | None:
    """Who signed in to the console and calls from its pages. Raises a 403 Problem without the page's token."""
    token = request.cookies.get(COOKIE, "")
    if not token:
        return None
    store: Store = current_app.extensions["store"]
    found = store.sessions.caller(token)
    if found is not None and request.method not in _SAFE:
        check_csrf(token)
    return found


def check_csrf(token: str) -> None:
    """Raises a 403 Problem where the request doesn't come from a page that was given out for this cookie."""
    store: Store = current_app.extensions["store"]
    offered = request.headers.get(HEADER, "")
    if not offered and request.mimetype == "application/x-www-form-urlencoded":
        offered = request.form.get(FIELD, "")
    if not hmac.compare_digest(offered.encode(), store.sessions.csrf(token).encode()):
        raise Problem(403, f"The page is out of date: load it anew. (A session needs the header {HEADER}.)")
