"""Helpers for views: they read bodies and parameters, and return JSON."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response, current_app, g, request
from marshmallow import Schema
from redis import RedisError
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestTimeout, UnsupportedMediaType

from app.api import cursors
from app.api.metrics import API_OVER_QUOTA
from app.api.own_url import base_url
from app.api.problems import Problem, wrong
from app.base.gunicorn_internals import UnreadableRequest, socket_of
from app.limits.connections import Connection
from app.limits.key_quotas import KeyQuotas, OverQuota
from app.schemas.lengths import LARGEST_BODY, LARGEST_JSON, MIB

DEFAULT_LIMIT = 50
MOST = 200

_COMPRESSIONS = {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"}


class EncodedBody(UnsupportedMediaType):
    """A 415 for a compressed body, which is always refused: anybody could send one that expands to gigabytes."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"The request body is compressed (Content-Encoding: {encoding}). Send it without compression."
        )

    def get_headers(self, *args: Any, **options: Any) -> list[tuple[str, str]]:
        """Return the headers, with the accepted encodings in Accept-Encoding (RFC 9110 §15.5.16)."""
        return [*super().get_headers(*args, **options), ("Accept-Encoding", "identity")]


def answer(value: Any, status: int = 200, **headers: str) -> Response:
    """Return `value` as a JSON response."""
    response = Response(orjson.dumps(value), status, content_type="application/json")
    for name, header in headers.items():
        response.headers[name.replace("_", "-")] = header
    return response


def connection() -> Connection | None:
    """Return the connection of the request; None if the app doesn't run in the relay's own server."""
    found = socket_of(request.environ)
    return found if isinstance(found, Connection) else None


def raw_body(largest: int = LARGEST_BODY) -> bytes:
    """Return the request's body, even if it was read ahead. Raises a 413 if it is larger than `largest` bytes.

    Raises a 415 if it is compressed, a 408 if it arrived too slowly, a 503 if the memory for bodies of unauthenticated
    callers is used up, and a 429 if the caller's API key has sent too much.
    """
    if "raw_body" not in g:
        return _whole_body(largest)
    data: bytes = g.pop("raw_body")
    if len(data) > largest:
        raise _too_large(largest)
    return data


def read_ahead() -> bytes:
    """Read the request's body before the view does, and keep it for the view. Return it. Raises the same errors."""
    g.raw_body = raw_body()
    data: bytes = g.raw_body
    return data


def _too_large(largest: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"The body is larger than {largest // MIB} MiB.")


def _whole_body(largest: int) -> bytes:
    # One byte more than allowed, because Flask cuts a chunked body off at its limit without an error.
    request.max_content_length = largest + 1
    came_by = connection()
    try:
        data = _read(came_by)
    except RequestEntityTooLarge:
        raise _too_large(largest) from None
    except (OSError, UnreadableRequest):  # raised by the server for invalid chunks
        raise BadRequest("The request body could not be read completely.") from None
    if len(data) > largest:
        raise _too_large(largest)
    if came_by is not None:
        came_by.body_is_whole()
    announced = request.content_length
    # The server doesn't raise an error for an incomplete body (RFC 9112 §8).
    if announced is not None and len(data) < announced:
        raise BadRequest(f"The request body ended after {len(data)} of {announced} bytes (Content-Length).")
    for encoding in request.headers.get("Content-Encoding", "").lower().split(","):
        # Other values, such as `utf-8`, are sent by mistake for an unencoded body.
        if encoding.strip() in _COMPRESSIONS:
            raise EncodedBody(encoding.strip())
    if "caller" in g:
        quotas: KeyQuotas = current_app.extensions["key_quotas"]
        try:
            quotas.charge(g.caller.id, len(data))
        except OverQuota as error:
            with suppress(RedisError, OSError):
                current_app.extensions["store"].counts.add(API_OVER_QUOTA)
            g.retry_after = error.seconds
            raise Problem(429, str(error)) from None
        finally:
            g.rate_limit = quotas.headers(g.caller.id)
    return data


def _read(came_by: Connection | None) -> bytes:
    try:
        return request.get_data(cache=False)
    finally:
        if came_by is not None and came_by.late:
            raise RequestTimeout("The request body arrived too slowly. Send at least 16 KiB per second.")
        if came_by is not None and came_by.given_up:
            raise Problem(503, "Too many large requests are being received. Try again in a moment.")


def refuse_other_media_types(accepted: str) -> None:
    """Raise a 415 if the body is XML or a form with files, by its Content-Type. `accepted` is for people.

    Other values aren't checked: curl, for example, sends JSON as a form unless told otherwise.
    """
    mimetype = request.mimetype
    if mimetype.endswith(("/xml", "+xml")) or mimetype.startswith("multipart/"):
        raise Problem(415, f"The body is {mimetype[:60]}. Send {accepted}.")


def body(schema: Schema, *, partial: bool = False, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """Return the request's JSON body, checked by the schema.

    Raises a 422 Problem or ValidationError that names the invalid fields, a 400 or 415 if it isn't JSON, and a 413
    if it is larger than `largest` bytes.
    """
    refuse_other_media_types("JSON, with Content-Type: application/json")
    try:
        value = orjson.loads(raw_body(largest) or b"{}")
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"The body is not JSON: {error}. Send a JSON object.") from None
    if not isinstance(value, dict):
        raise wrong("body", "Send a JSON object.")
    loaded: dict[str, Any] = schema.load(value, partial=partial)
    return loaded


def limit() -> int:
    """Return the parameter `limit`."""
    text = request.args.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MOST:
        raise wrong("limit", f"is not a whole number from 1 to {MOST}, e.g. limit=50")
    return int(text)


def moment(name: str) -> int | None:
    """Return a time parameter in ms since 1970; None if it is missing. It is ISO 8601, and UTC without an offset."""
    text = request.args.get(name)
    return None if not text else parse_moment(name, text)


def time_range(prefix: str = "") -> tuple[int | None, int | None]:
    """Return the parameters `since` and `until`, as `moment` does. Raises a 422 Problem if they are reversed."""
    since, until = moment(f"{prefix}since"), moment(f"{prefix}until")
    if since is not None and until is not None and since > until:
        raise wrong(f"{prefix}until", f"must not be before {prefix}since")
    return since, until


def parse_moment(name: str, text: str) -> int:
    """Convert an ISO 8601 time to ms since 1970. Raises a 422 Problem."""
    try:
        # A `+` that wasn't percent-encoded arrives as a space.
        at = datetime.fromisoformat(text.strip().replace(" ", "+") if text.count(":") > 2 else text.strip())
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0, int(at.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise wrong(name, "is not an ISO 8601 time, e.g. 2026-11-24T09:00:00Z") from None


def page(rows: Iterable[Any], place: str | None) -> Response:
    """Return a page of a list. `place` is the place after which the next page begins; None on the last page."""
    shown = {"data": list(rows), "next_cursor": None if place is None else cursors.at(place)}
    if g.get("warnings"):
        shown["warnings"] = g.warnings
    return answer(shown)


def created(value: Any, path: str) -> Response:
    """Return a 201 with the created resource. `Location` is an absolute URL, because Power Automate needs one."""
    return answer(value, 201, Location=base_url() + path)


def existed(value: Any, path: str) -> Response:
    """Return a 200 with a resource that didn't have to be created, with the same `Location`."""
    return answer(value, 200, Location=base_url() + path)
