"""What all pages share: the frame around them, the security headers, and reading through the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from flask import Blueprint, Response, g, render_template, request
from flask.typing import ResponseReturnValue

from app import __version__
from app.api.auth import caller, store
from app.api.sessions import COOKIE
from app.console import files
from app.console.texts import section, text

blueprint = Blueprint("console", __name__, template_folder="templates")

# Nothing from elsewhere, no script or style in a page itself, and no frame around it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# The pages of the menu, and the scopes of which one is needed.
MENU: dict[str, tuple[str, tuple[str, ...]]] = {
    "live": ("/", ("events:read",)),
    "devices": ("/console/devices", ("devices:write", "events:read", "actions:read")),
    "subscriptions": ("/console/subscriptions", ("subscriptions:write",)),
    "actions": ("/console/actions", ("actions:read", "actions:write", "actions:destructive")),
    "attendance": ("/console/attendance", ("events:read",)),
    "health": ("/console/health", ("metrics:read",)),
}


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page in the frame; its menu has what the caller may see."""
    key = g.get("caller")
    menu = [
        (name, path)
        for name, (path, scopes) in MENU.items()
        if key is not None and any(key.may(scope) for scope in scopes)
    ]
    token = request.cookies.get(COOKIE, "")
    content = render_template(
        f"console/{template}.html",
        t=text,
        script_texts=section("script"),
        menu=menu,
        key=key,
        may=key.may if key is not None else lambda scope: False,
        csrf=store().sessions.csrf(token) if token else "",
        static=files.url,
        version=__version__,
        **values,
    )
    return Response(content, status, content_type="text/html; charset=utf-8")


@blueprint.after_request
def secure(response: Response) -> Response:
    """Headers of every page; files set their own caching."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def api(view: Callable[..., ResponseReturnValue], **values: Any) -> Any:
    """What a view of the API answers to this caller. Raises its Problem."""
    response = view(**values)
    assert isinstance(response, Response)
    return orjson.loads(response.get_data())


def wants_page() -> bool:
    """Whether a person with a browser asks, rather than a program."""
    return "text/html" in request.headers.get("Accept", "")


def first_page() -> str | None:
    """The first page that the caller may see."""
    key = caller()
    return next((path for path, scopes in MENU.values() if any(key.may(scope) for scope in scopes)), None)
