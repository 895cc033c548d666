"""What the views share: reading bodies and parameters, and answering JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from flask import Response, current_app, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from marshmallow import Schema
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.sansio.utils import get_current_url, get_host

from app.api.problems import Problem, wrong

DEFAULT_LIMIT = 50
MOST = 200
LARGEST_BODY = 16 * 1024 * 1024


def answer(value: Any, status: int = 200, **headers: str) -> Response:
    """`value` as JSON."""
    response = Response(orjson.dumps(value), status, content_type="application/json")
    for name, header in headers.items():
        response.headers[name.replace("_", "-")] = header
    return response


def raw_body() -> bytes:
    """The request's body. Raises a 413 where it is larger than 16 MiB, also where no header said so before."""
    # One more than may come: Flask reads a chunked body up to its limit and is silent about the rest.
    request.max_content_length = LARGEST_BODY + 1
    try:
        data = request.get_data(cache=False)
    except (OSError, ParseException):  # what the server raises for chunks that are none
        raise BadRequest("The body could not be read to its end.") from None
    if len(data) > LARGEST_BODY:
        raise RequestEntityTooLarge("The body is larger than 16 MiB.")
    announced = request.content_length
    if announced is not None and len(data) < announced:  # the server doesn't tell (RFC 9112 §8: incomplete)
        raise BadRequest(f"The body ended after {len(data)} of its {announced} bytes (Content-Length).")
    return data


def body(schema: Schema, *, partial: bool = False) -> dict[str, Any]:
    """The request's JSON, checked. Raises a 422 Problem or ValidationError naming the fields at fault."""
    try:
        value = orjson.loads(raw_body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise Problem(422, f"The body is not JSON: {error}", [("body", "Send a JSON object.")]) from None
    if not isinstance(value, dict):
        raise wrong("body", "Send a JSON object.")
    loaded: dict[str, Any] = schema.load(value, partial=partial)
    return loaded


def limit() -> int:
    """The parameter `limit`."""
    text = request.args.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MOST:
        raise wrong("limit", f"is not a whole number from 1 to {MOST}, e.g. limit=50")
    return int(text)


def moment(name: str) -> int | None:
    """A time parameter in ms since 1970; None where it is missing. ISO 8601, UTC where it has no offset."""
    text = request.args.get(name)
    return None if not text else parse_moment(name, text)


def parse_moment(name: str, text: str) -> int:
    """An ISO 8601 time in ms since 1970. Raises a 422 Problem."""
    try:
        # A `+` that wasn't encoded arrives as a blank.
        at = datetime.fromisoformat(text.strip().replace(" ", "+") if text.count(":") > 2 else text.strip())
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0, int(at.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise wrong(name, "is not an ISO 8601 time, e.g. 2026-11-24T09:00:00Z") from None


def page(rows: Iterable[Any], next_cursor: str | None) -> Response:
    """A page of a list."""
    return answer({"data": list(rows), "next_cursor": next_cursor})


def base_url() -> str:
    """The URL the world reaches us at, without a slash at its end."""
    environ = request.environ
    server = (environ.get("SERVER_NAME", ""), environ.get("SERVER_PORT", ""))
    public_url: str | None = current_app.extensions["store"].settings.public_url
    return public_url or origin(environ["wsgi.url_scheme"], environ.get("HTTP_HOST"), *server)


@lru_cache(maxsize=256)  # every callback asks, and the answer is as a rule the same
def origin(scheme: str, host: str | None, name: str = "", port: str = "") -> str:
    """The URL of a server by a request's Host, or else by its own name and port."""
    server = (name, int(port) if port.isdigit() else None) if name else None
    # A Host that can't be one counts as none: it makes no link, and holds up no callback.
    found = get_host(scheme, host, server) or get_host(scheme, None, server)
    return get_current_url(scheme, found).rstrip("/")


def created(value: Any, path: str) -> Response:
    """201 with what was made. `Location` is a whole URL: Power Automate calls it as it is."""
    return answer(value, 201, Location=base_url() + path)
