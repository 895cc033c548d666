"""A browser gets errors as pages, or the page to sign in; a program gets the API's problems."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

import redis
from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from app.api.auth import PUBLIC, caller, needs
from app.api.problems import Problem, respond
from app.console.frame import page, wants_page
from app.console.texts import text
from app.store import StoreAway

blueprint = Blueprint("errors", __name__)


def register(console: Blueprint) -> None:
    """Handles the errors of the console's views, and its unknown pages."""
    console.register_blueprint(blueprint)
    console.register_error_handler(Problem, _problem)
    for kind in (StoreAway, redis.ConnectionError, redis.TimeoutError):
        console.register_error_handler(kind, _away)


@blueprint.get("/console/")
@blueprint.get("/console/<path:_page>")
@needs(PUBLIC)
def no_page(_page: str = "") -> ResponseReturnValue:
    """Whatever else is below the console; who has signed in gets the menu, too."""
    if not _page:
        return redirect("/", 303)
    with suppress(Problem):
        caller()
    raise Problem(404, text("problem.no_page"))


def _problem(error: Problem) -> ResponseReturnValue:
    if "HX-Request" in request.headers and error.status == 401:
        response = respond(error.status, error.detail)
        response.headers["HX-Redirect"] = "/console/sign-in"
        return response
    if not wants_page():
        return respond(error.status, error.detail, error.errors, **error.more)
    if error.status == 401:
        return redirect(f"/console/sign-in?next={quote(request.full_path.rstrip('?'))}", 303)
    return page("problem", error.status, title=text(f"problem.{_name(error.status)}"), detail=error.detail)


def _name(status: int) -> str:
    return {403: "forbidden", 404: "missing", 422: "wrong"}.get(status, "failed")


def _away(error: Any) -> Response:
    detail = text("problem.away")
    if not wants_page():
        return respond(503, detail)
    # Without the frame's menu and token, which ask the store.
    return page("problem", 503, title=text("problem.failed"), detail=detail)
