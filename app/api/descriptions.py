"""The published descriptions: `/openapi.json`, `/openapi.yaml`, `/postman.json`, and `/docs` to read. Contract §7."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request

from app.api.auth import PUBLIC, needs
from app.api.io import answer, base_url
from app.api.problems import Problem, wrong

blueprint = Blueprint("descriptions", __name__)

_STATIC = Path(__file__).parent.parent / "static"
_VIEWER = "vendor/swagger-ui"
_FILES: dict[str, tuple[str, str]] = {
    "docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "docs.css": ("docs.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": (f"{_VIEWER}/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": (f"{_VIEWER}/swagger-ui.css", "text/css; charset=utf-8"),
    "favicon-32x32.png": (f"{_VIEWER}/favicon-32x32.png", "image/png"),
}
# Nothing from elsewhere, and no script in the page itself. The viewer brings icons as data: URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@functools.cache
def _openapi() -> Any:
    """What makes them; imported when first asked for: a fifth of the start of web."""
    from app import openapi

    return openapi


def _choice(name: str, choices: Sequence[str], default: str | None) -> str | None:
    """A parameter that is one of these; the default where it is missing. Raises a 422 Problem."""
    value = request.args.get(name) or default
    if value is not None and value not in choices:
        raise wrong(name, f"{value[:64]!r} is not one of {', '.join(choices)}")
    return value


def _version_and_tag() -> tuple[str, str | None]:
    version = _choice("version", _openapi().VERSIONS, "3.1") or ""
    return version, _choice("tag", tuple(_openapi().TAGS), None)


def _shared(response: Response) -> Response:
    """Lets importers that run in a browser read it; there is nothing secret in it."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


@blueprint.get("/openapi.json")
@needs(PUBLIC)
def as_json() -> Response:
    """OpenAPI 3.1, 3.0 or 2.0 as JSON; with `tag` only the operations under it."""
    version, tag = _version_and_tag()
    body = _openapi().as_json(version, tag, base_url())
    return _shared(Response(body, content_type="application/json"))


@blueprint.get("/openapi.yaml")
@needs(PUBLIC)
def as_yaml() -> Response:
    """The same as YAML."""
    version, tag = _version_and_tag()
    body = _openapi().as_yaml(version, tag, base_url())
    return _shared(Response(body, content_type="application/yaml"))


@blueprint.get("/postman.json")
@needs(PUBLIC)
def postman() -> Response:
    """A Postman collection of the gateway's own operations, or with `collection=relay` of this API."""
    if _choice("collection", _openapi().COLLECTIONS, "gateway") == "relay":
        return _shared(answer(_openapi().relay_collection(base_url())))
    return _shared(answer(_openapi().gateway_collection()))


@blueprint.get("/docs")
@needs(PUBLIC)
def docs() -> Response:
    """The description as a page to read and to try in."""
    response = Response(_file("docs.html"), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.get("/docs/<name>")
@needs(PUBLIC)
def docs_file(name: str) -> Response:
    """A script, style or picture of that page."""
    if name not in _FILES:
        raise Problem(404, "The documentation page has no such file.")
    path, media = _FILES[name]
    response = Response(_file(path), content_type=media)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


@functools.cache
def _file(path: str) -> bytes:
    return (_STATIC / path).read_bytes()
