"""Shared by all pages: the frame, the security headers, and reading through the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from flask import Blueprint, Response, g, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as BaseResponse

from app import __version__
from app.api.auth import caller, store
from app.api.sessions import session_token
from app.console import files
from app.console.texts import section, text
from app.store.access.scopes import DEVICE_READERS, PEOPLE_READERS, SUBSCRIPTION_READERS

blueprint = Blueprint("console", __name__, template_folder="templates")

# Nothing from other origins, no inline scripts or styles, and no embedding in frames
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# The pages of the menu, each with scopes of which one is required
MENU: dict[str, tuple[str, tuple[str, ...]]] = {
    "live": ("/", ("events:read",)),
    "devices": ("/console/devices", DEVICE_READERS),
    "subscriptions": ("/console/subscriptions", SUBSCRIPTION_READERS),
    "actions": ("/console/actions", ("actions:read", "actions:write", "actions:destructive")),
    "attendance": ("/console/attendance", PEOPLE_READERS),
    "health": ("/console/health", ("metrics:read",)),
}


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page in the frame. Its menu has the pages that the caller may see."""
    key = g.get("caller")
    menu = [
        (name, path)
        for name, (path, scopes) in MENU.items()
        if key is not None and any(key.may(scope) for scope in scopes)
    ]
    token = session_token()
    content = render_template(
        f"console/{template}.html",
        t=text,
        script_texts=section("script"),
        menu=menu,
        key=key,
        may=key.may if key is not None else lambda scope: False,
        csrf=store().sessions.csrf(token) if token else "",
        static=files.url,
        root=files.root_path(),
        version=__version__,
        **values,
    )
    return Response(content, status, content_type="text/html; charset=utf-8")


def go_to(path: str) -> BaseResponse:
    """Redirect the browser to one of our paths."""
    return redirect(files.root_path() + path, 303)


@blueprint.after_request
def secure(response: Response) -> Response:
    """Set the headers of every page. Files set their own caching."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def api(view: Callable[..., ResponseReturnValue], **values: Any) -> Any:
    """Return the answer of a view of the API to this caller. Raises its Problem."""
    response = view(**values)
    assert isinstance(response, Response)
    return orjson.loads(response.get_data())


def wants_page() -> bool:
    """Return whether the request comes from a browser, rather than a program."""
    return "text/html" in request.headers.get("Accept", "")


def first_page() -> str | None:
    """Return the first page that the caller may see."""
    key = caller()
    return next((path for path, scopes in MENU.values() if any(key.may(scope) for scope in scopes)), None)
