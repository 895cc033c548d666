"""Errors as `application/problem+json` (RFC 9457). Each says what to do."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import redis
from flask import Flask, Response, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from app.api.own_url import base_url
from app.archive import ArchiveAway, ArchiveRefused
from app.base.json_pointer import json_pointer
from app.base.log import request_id
from app.base.problem_document import CONTENT_TYPE, problem_document
from app.base.store_errors import is_wrong_type
from app.base.throttle import OnceAMinute
from app.store import StoreAway, is_away
from app.store.access.failed_attempts import TooManyTries
from app.store.subscriptions.records import Unreadable

log = logging.getLogger("relay.api")

WRONG_TYPE = (
    "The stored data for this can't be read, because a key in the store has the wrong type. `cams-relay doctor` names "
    "the key."
)
_once = OnceAMinute()

_IN_DETAIL = 5  # invalid fields named in `detail`
_LISTED = 50  # invalid fields listed in `errors`
_HEADERS = (
    "Idempotency-Key",
    "Prefer",
    "Last-Event-ID",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Accept",
)
_RETRY_AFTER = {429: "10", 503: "1"}  # seconds


class Problem(Exception):
    """An error response. `errors` are pairs (name, message) of the invalid fields, parameters or headers."""

    def __init__(
        self, status: int, detail: str, errors: list[tuple[str, str]] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.more = status, detail, errors or [], more


def wrong(field: str, message: str) -> Problem:
    """Return a 422 Problem for one field, parameter or header."""
    return Problem(422, f"{field}: {message}", [(field, message)])


def respond(status: int, detail: str, errors: list[tuple[str, str]] | None = None, **more: Any) -> Response:
    """Return the problem as a response. `more` are further members of the JSON object.

    `challenge` are the parameters of WWW-Authenticate that say what is wrong with the API key (RFC 6750).
    """
    challenge = more.pop("challenge", "")
    body = problem_document(
        status, detail, code=more.pop("code", None), origin=base_url(), request_id=request_id.get()
    )
    body |= more
    if errors:
        body["errors"] = [{**_place(name), "message": message} for name, message in errors]
    response = Response(orjson.dumps(body), status, content_type=CONTENT_TYPE)
    if status == 401 or challenge:
        response.headers["WWW-Authenticate"] = f'Bearer realm="cams-relay"{challenge and ", "}{challenge}'
    if status in _RETRY_AFTER:
        response.headers["Retry-After"] = _RETRY_AFTER[status]
    return response


class Placed(str):
    """The name of a field, parameter or header, with its place in the request."""

    place: dict[str, str]


def placed(name: str, **place: str) -> Placed:
    """Return a name with its `pointer`, `parameter` or `header`."""
    made = Placed(name)
    made.place = place
    return made


def _place(name: str) -> dict[str, str]:
    """Return where an error is in the request: a header, a parameter, or a JSON Pointer (RFC 6901) into the body."""
    if isinstance(name, Placed):
        return name.place
    if name in _HEADERS:
        return {"header": name}
    if name in (request.view_args or {}) or request.method in ("GET", "HEAD", "DELETE"):
        return {"parameter": name}
    return {"pointer": "" if name == "body" else json_pointer(*name.split("."))}


def register(app: Flask) -> None:
    """Return every error of the app as a problem."""

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return respond(error.status, error.detail, error.errors, **error.more)

    @app.errorhandler(ValidationError)
    def invalid(error: ValidationError) -> Response:
        errors = sorted(_flat(error.messages))
        told = [f"{field}: {message}" for field, message in errors[:_IN_DETAIL]]
        if len(errors) > _IN_DETAIL:
            told.append(f"and {len(errors) - _IN_DETAIL} more")
        return respond(422, "; ".join(told), errors[:_LISTED])

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        response = respond(error.code or 500, error.description or "")
        for name, value in error.get_headers():
            if name.lower() in ("accept-encoding", "allow", "location"):
                response.headers[name] = value
        return response

    @app.errorhandler(TooManyTries)
    def too_many(error: TooManyTries) -> Response:
        response = respond(429, str(error))
        response.headers["Retry-After"] = str(error.seconds)
        return response

    @app.errorhandler(StoreAway)
    def away(_error: StoreAway) -> Response:
        return respond(503, "The store can't be reached. Try again in a moment.")

    @app.errorhandler(ArchiveAway)
    def archive_away(_error: ArchiveAway) -> Response:
        return respond(
            503,
            "The archive's database can't be reached, so older data can't be read. Try again in a moment.",
        )

    @app.errorhandler(ArchiveRefused)
    def archive_refused(error: ArchiveRefused) -> Response:
        return respond(503, f"The archive can't be used: {error}")

    @app.errorhandler(Unreadable)
    def unreadable(_error: Unreadable) -> Response:
        return respond(
            409,
            "The stored data of this subscription can't be read. Delete the subscription and "
            "create a new one.",
        )

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        if isinstance(error, redis.RedisError) and is_away(error):
            return respond(503, "The store can't be reached. Try again in a moment.")
        if is_wrong_type(error):
            if _once.may_say():
                log.error(
                    "a request failed because a key in the store has the wrong type; `cams-relay doctor` names it"
                )
            return respond(503, WRONG_TYPE)
        log.exception("a request failed")
        return respond(500, "An internal error occurred. See the relay's log for details.")


def _flat(messages: Any, path: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Return marshmallow's messages as pairs (name with dots, message)."""
    if isinstance(messages, dict):
        return [
            pair
            for key, value in messages.items()
            for pair in _flat(value, path if _is_marshmallows(key, value, path) else (*path, str(key)))
        ]
    if isinstance(messages, list):
        return [pair for value in messages for pair in _flat(value, path)]
    return [(placed(".".join(path) or "body", pointer=json_pointer(*path)), str(messages))]


def _is_marshmallows(key: object, value: object, path: tuple[str, ...]) -> bool:
    """Return whether a key is marshmallow's own and not a field's name.

    These are `_schema`, and `key` and `value` for entries of an object such as `headers`.
    """
    return key == "_schema" or (key in ("key", "value") and len(path) > 1 and isinstance(value, list))
