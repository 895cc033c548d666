"""Errors: browsers get pages, or the page to sign in; programs get the API's problems."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

import redis
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from app.api.auth import PUBLIC, caller, needs
from app.api.problems import Problem, respond
from app.console.files import root_path
from app.console.frame import go_to, page, wants_page
from app.console.texts import text
from app.store import StoreAway

blueprint = Blueprint("errors", __name__)


def register(console: Blueprint) -> None:
    """Handle errors of the console's views, and unknown pages."""
    console.register_blueprint(blueprint)
    console.register_error_handler(Problem, show_problem)
    for kind in (StoreAway, redis.ConnectionError, redis.TimeoutError):
        console.register_error_handler(kind, _away)


@blueprint.get("/console/")
@blueprint.get("/console/<path:_page>")
@needs(PUBLIC)
def no_page(_page: str = "") -> ResponseReturnValue:
    """Answer unknown pages of the console, with the menu for people who have signed in."""
    if not _page:
        return go_to("/")
    with suppress(Problem):
        caller()
    raise Problem(404, text("problem.no_page"))


def show_problem(error: Problem) -> ResponseReturnValue:
    """Show a problem of the API as a page, or the page to sign in."""
    if "HX-Request" in request.headers and error.status == 401:
        response = respond(error.status, error.detail)
        response.headers["HX-Redirect"] = f"{root_path()}/console/sign-in"
        return response
    if not wants_page():
        return respond(error.status, error.detail, error.errors, **error.more)
    if error.status == 401:
        return go_to(f"/console/sign-in?next={quote(request.full_path.rstrip('?'))}")
    return page("problem", error.status, title=text(f"problem.{_name(error.status)}"), detail=error.detail)


def _name(status: int) -> str:
    return {403: "forbidden", 404: "missing", 422: "wrong"}.get(status, "failed")


def _away(error: Any) -> Response:
    detail = text("problem.away")
    if not wants_page():
        return respond(503, detail)
    # Without the frame's menu and token, which need the store.
    return page("problem", 503, title=text("problem.failed"), detail=detail)
