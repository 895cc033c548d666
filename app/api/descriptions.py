"""The published API descriptions: `/openapi.json`, `/openapi.yaml`, `/postman.json` and `/docs`. Contract §7."""

from __future__ import annotations

import functools
import hashlib
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Response, request

from app.api.auth import ANY_KEY, PUBLIC, needs
from app.api.own_url import base_url
from app.api.problem_codes import problem_codes
from app.api.problems import Problem, wrong
from app.api.request_helpers import page
from app.base.problem_document import PAGE

blueprint = Blueprint("descriptions", __name__)

_STATIC = Path(__file__).parent.parent / "static"
_CODE = re.compile(r"`([^`]+)`")
_VIEWER = "vendor/swagger-ui"
_FILES: dict[str, tuple[str, str]] = {
    "docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "docs.css": ("docs.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": (f"{_VIEWER}/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": (f"{_VIEWER}/swagger-ui.css", "text/css; charset=utf-8"),
    "favicon-32x32.png": (f"{_VIEWER}/favicon-32x32.png", "image/png"),
}
# Allows no other origins and no inline scripts. The viewer's icons are data: URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@functools.cache
def _openapi() -> Any:
    """Return the module that makes the descriptions. It is imported late, because that takes a fifth of web's start."""
    from app import openapi

    return openapi


def _choice(name: str, choices: Sequence[str], default: str | None) -> str | None:
    """Return a parameter that must be one of `choices`, or the default if it is missing. Raises a 422 Problem."""
    value = request.args.get(name) or default
    if value is not None and value not in choices:
        raise wrong(name, f"{value[:64]!r} is not valid. Use one of: {', '.join(choices)}")
    return value


def _webhooks(version: str) -> bool:
    """Return whether webhooks are requested. Raises a 422 Problem if the OpenAPI version doesn't support them."""
    asked = _choice("webhooks", ("0", "1"), "0") == "1"
    if asked and version != "3.1":
        raise wrong("webhooks", "is only possible with OpenAPI 3.1. Leave out version or webhooks.")
    return asked


def _described(kind: str) -> Response:
    version = _choice("version", _openapi().VERSIONS, "3.1") or ""
    tag = _choice("tag", tuple(_openapi().TAGS), None)
    text, digest = _openapi().served(kind, version, tag, base_url(), _webhooks(version))
    return _tagged(text, digest, f"application/{kind}")


@functools.cache
def _gateway_collection() -> tuple[bytes, str]:
    body = orjson.dumps(_openapi().gateway_collection())
    return body, hashlib.sha256(body).hexdigest()[:32]


def _tagged(body: bytes, tag: str, media: str) -> Response:
    """Return a response with an ETag, or a 304 if the caller already has this version."""
    response = Response(body, content_type=media)
    response.set_etag(tag)
    response.headers["Cache-Control"] = "no-cache"  # may be cached, but must be revalidated
    response.make_conditional(request)
    return response


def _shared(response: Response) -> Response:
    """Allow any website to read the response, for importers that run in a browser. It contains no secrets."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


@blueprint.get("/openapi.json")
@needs(PUBLIC)
def as_json() -> Response:
    """Returns OpenAPI 3.1, 3.0 or 2.0 as JSON: all operations or those of a `tag`, and webhooks with `webhooks=1`."""
    return _shared(_described("json"))


@blueprint.get("/openapi.yaml")
@needs(PUBLIC)
def as_yaml() -> Response:
    """Returns the OpenAPI description as YAML, with the same parameters."""
    return _shared(_described("yaml"))


@blueprint.get("/postman.json")
@needs(PUBLIC)
def postman() -> Response:
    """Returns a Postman collection of the gateway's own operations or, with `collection=relay`, of this API."""
    if _choice("collection", _openapi().COLLECTIONS, "gateway") == "relay":
        text, digest = _openapi().served_collection(base_url())
        return _shared(_tagged(text, digest, "application/json"))
    return _shared(_tagged(*_gateway_collection(), "application/json"))


@blueprint.get("/v1/event-types")
@needs(ANY_KEY)
def event_types() -> Response:
    """Lists the event types, each with its meaning, JSON Schema and a sample."""
    return page(_event_types(), None)


@functools.cache
def _event_types() -> list[Any]:
    from app.openapi.event_schemas import event_catalogue

    return event_catalogue()


@blueprint.get("/docs")
@needs(PUBLIC)
def docs() -> Response:
    """Shows the API description as an interactive page."""
    response = _tagged(*_file("docs.html"), "text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.get(PAGE)
@needs(PUBLIC)
def errors() -> Response:
    """Shows the page that an error's `type` links to: each error code and what to do about it."""
    response = _tagged(*_errors(), "text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@functools.cache
def _errors() -> tuple[bytes, str]:
    found = [f"<dt id={code}><code>{code}</code><dd>{_as_html(meaning)}" for code, meaning in problem_codes()]
    body = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Errors of cams-relay</title>"
        f"<h1>Errors</h1><p>The codes of the relay's errors, and what to do about each.<dl>{''.join(found)}</dl></html>"
    ).encode()
    return body, hashlib.sha256(body).hexdigest()[:32]


def _as_html(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(text, quote=False))


@blueprint.get("/docs/<name>")
@needs(PUBLIC)
def docs_file(name: str) -> Response:
    """Serves the scripts, styles and images of the `/docs` page."""
    if name not in _FILES:
        raise Problem(404, "There is no such file.")
    path, media = _FILES[name]
    response = _tagged(*_file(path), media)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


@functools.cache
def _file(path: str) -> tuple[bytes, str]:
    body = (_STATIC / path).read_bytes()
    return body, hashlib.sha256(body).hexdigest()[:32]
