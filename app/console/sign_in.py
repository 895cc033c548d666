"""Signing in with an API key, and out. The key goes in once; then a cookie stands for it."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as AnyResponse

from app.api.auth import PUBLIC, needs, store
from app.api.io import base_url
from app.api.problems import Problem
from app.api.sessions import COOKIE, check_csrf
from app.console.frame import page
from app.console.texts import text
from app.store.tries import TooManyTries

blueprint = Blueprint("sign_in", __name__)

_LONGEST_FORM = 8_192


@blueprint.get("/console/sign-in")
@needs(PUBLIC)
def form() -> ResponseReturnValue:
    """The page to sign in."""
    token = request.cookies.get(COOKIE, "")
    if token and store().sessions.caller(token) is not None:
        return redirect(_next(), 303)
    return _form()


@blueprint.post("/console/sign-in")
@needs(PUBLIC)
def sign_in() -> ResponseReturnValue:
    """Begins a session for the holder of an API key."""
    request.max_content_length = _LONGEST_FORM
    try:
        check_csrf(request.cookies.get(COOKIE, ""))
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
    response = redirect(_next(), 303)
    _set_cookie(response, store().sessions.begin(key))  # a new one: the former may have been planted
    return response


@blueprint.post("/console/sign-out")
@needs(PUBLIC)
def sign_out() -> ResponseReturnValue:
    """Ends the session."""
    request.max_content_length = _LONGEST_FORM
    token = request.cookies.get(COOKIE, "")
    check_csrf(token)
    store().sessions.end(token)
    response = redirect("/console/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


def _form(status: int = 200, error: str | None = None) -> Response:
    """The form; where there is no cookie yet, with one that is no session but stands behind the CSRF token."""
    token = request.cookies.get(COOKIE, "")
    made = "" if token else secrets.token_urlsafe(32)
    csrf = store().sessions.csrf(token or made)
    response = page("sign_in", status, error=error, form_csrf=csrf, next=_next())
    if made:
        _set_cookie(response, made)
    return response


def _set_cookie(response: AnyResponse, token: str) -> None:
    secure = request.is_secure or base_url().startswith("https://")
    response.set_cookie(COOKIE, token, httponly=True, samesite="Lax", secure=secure)


def _next() -> str:
    """Where to go on: a path of ours."""
    wanted = request.values.get("next", "/")
    parts = urlsplit(wanted)
    ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.netloc
    return wanted if ours and wanted.isprintable() else "/"
