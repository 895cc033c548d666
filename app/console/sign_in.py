"""Signing in with an API key, and signing out. The key is entered once. After that, a cookie replaces it."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from app.api.auth import PUBLIC, needs, store
from app.api.problems import Problem
from app.api.sessions import check_csrf, check_origin, clear_session, session_token, set_session
from app.console.frame import go_to, page
from app.console.texts import text
from app.store.access.failed_attempts import TooManyTries

blueprint = Blueprint("sign_in", __name__)

_LONGEST_FORM = 8_192


@blueprint.get("/console/sign-in")
@needs(PUBLIC)
def form() -> ResponseReturnValue:
    """Show the page to sign in."""
    token = session_token()
    if token and store().sessions.caller(token) is not None:
        return go_to(_next())
    return _form()


@blueprint.post("/console/sign-in")
@needs(PUBLIC)
def sign_in() -> ResponseReturnValue:
    """Begin a session for the holder of an API key."""
    request.max_content_length = _LONGEST_FORM
    try:
        check_origin()
    except Problem as problem:
        return _form(403, problem.detail)
    former = session_token()
    try:
        check_csrf(former)
    except Problem:
        return _form(403, text("sign_in.stale"))
    key = request.form.get("key", "").strip()
    try:
        found = store().api_keys.authenticate(key, request.remote_addr or "") if key else None
    except TooManyTries as error:
        refused = _form(429, text("sign_in.too_many"))
        refused.headers["Retry-After"] = str(error.seconds)
        return refused
    if found is None:
        return _form(401, text("sign_in.wrong"))
    if found.device_ids is not None:
        return _form(403, text("sign_in.limited"))
    response = go_to(_next())
    set_session(response, store().sessions.begin(key))  # an attacker may have set the previous one
    store().sessions.end(former)
    return response


@blueprint.post("/console/sign-out")
@needs(PUBLIC)
def sign_out() -> ResponseReturnValue:
    """End the session."""
    request.max_content_length = _LONGEST_FORM
    check_origin()
    token = session_token()
    check_csrf(token)
    store().sessions.end(token)
    response = go_to("/console/sign-in")
    clear_session(response)
    return response


def _form(status: int = 200, error: str | None = None) -> Response:
    """Return the form. Without a cookie, it gets one that isn't a session, but is needed for the CSRF token."""
    token = session_token()
    made = "" if token else secrets.token_urlsafe(32)
    csrf = store().sessions.csrf(token or made)
    response = page("sign_in", status, error=error, form_csrf=csrf, next=_next())
    if made:
        set_session(response, made)
    return response


def _next() -> str:
    """Return the path to continue at, which must be one of ours."""
    wanted = request.values.get("next", "/")
    parts = urlsplit(wanted)
    ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.netloc
    return wanted if ours and wanted.isprintable() else "/"
