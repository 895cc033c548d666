"""Errors as `application/problem+json` (RFC 9457), each saying what to do."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import orjson
import redis
from flask import Flask, Response
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from app.store import StoreAway, is_away
from app.store.tries import TooManyTries

log = logging.getLogger("relay.api")


class Problem(Exception):
    """An error to be shown. `errors` are (field, message) where fields are at fault."""

    def __init__(
        self, status: int, detail: str, errors: list[tuple[str, str]] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.more = status, detail, errors or [], more


def wrong(field: str, message: str) -> Problem:
    """A 422 for one field or parameter."""
    return Problem(422, f"{field}: {message}", [(field, message)])


def respond(status: int, detail: str, errors: list[tuple[str, str]] | None = None, **more: Any) -> Response:
    """The problem as a response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    if errors:
        body["errors"] = [{"field": field, "message": message} for field, message in errors]
    response = Response(orjson.dumps(body), status, content_type="application/problem+json")
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="cams-relay"'
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


def register(app: Flask) -> None:
    """Makes every error of the app a problem."""

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return respond(error.status, error.detail, error.errors, **error.more)

    @app.errorhandler(ValidationError)
    def invalid(error: ValidationError) -> Response:
        errors = sorted(_flat(error.messages))
        return respond(422, "; ".join(f"{field}: {message}" for field, message in errors[:5]), errors)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        response = respond(error.code or 500, error.description or "")
        for name, value in error.get_headers():
            if name.lower() in ("allow", "location"):
                response.headers[name] = value
        return response

    @app.errorhandler(TooManyTries)
    def too_many(error: TooManyTries) -> Response:
        response = respond(429, str(error))
        response.headers["Retry-After"] = str(error.seconds)
        return response

    @app.errorhandler(StoreAway)
    def away(_error: StoreAway) -> Response:
        return respond(503, "The store can't be reached just now; try again in a moment.")

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        if isinstance(error, redis.RedisError) and is_away(error):
            return respond(503, "The store can't be reached just now; try again in a moment.")
        log.exception("a request failed")
        return respond(500, "The relay failed at this request; its log says why.")


def _flat(messages: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(messages, dict):
        return [pair for key, value in messages.items() for pair in _flat(value, _join(path, str(key)))]
    if isinstance(messages, list):
        return [pair for value in messages for pair in _flat(value, path)]
    return [(path or "body", str(messages))]


def _join(path: str, key: str) -> str:
    if key in ("_schema", "key", "value"):
        return path
    return f"{path}.{key}" if path else key
