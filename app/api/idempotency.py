"""`Idempotency-Key` for every POST below /v1: a repeated request has no effect, and gets the first response again.

Actions handle it themselves: they save the command's ID instead of the response, because the response changes while
the command runs.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import orjson
import redis
from flask import Flask, Response, g, request

from app.api.auth import caller, check, store
from app.api.problems import Problem, respond, wrong
from app.api.request_helpers import read_ahead
from app.store.access.idempotency import AnswerUnreadable, KeyReused, Reservation, StillRunning

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_LONGEST = 255
_RETRY_AFTER = "1"
_KEPT_HEADERS = ("Location", "ETag")
_NOT_FINAL = (401, 403, 406, 408, 429)

View = TypeVar("View", bound=Callable[..., Any])


def repeats_by_itself(view: View) -> View:
    """Declare that a view handles `Idempotency-Key` itself. Put it below `needs`."""
    view.repeats_by_itself = True  # type: ignore[attr-defined]
    return view


def idempotency_key() -> str:
    """Return the request's `Idempotency-Key`; empty without one. Raises a 422 Problem if it is too long."""
    key = request.headers.get(HEADER, "").strip()
    if len(key) > _LONGEST:
        raise wrong(HEADER, f"is longer than {_LONGEST} characters")
    return key


def key_reused() -> Problem:
    """Return the 409 Problem for a key that was used with a different request."""
    return Problem(
        409,
        f"This {HEADER} was already used with a different request. Use a new key for each new request.",
        code="idempotency_key_reused",
    )


def register(app: Flask) -> None:
    """Check every POST below /v1 before it is handled, and save its response afterwards."""

    @app.before_request
    def begin() -> Response | None:
        view = app.view_functions.get(request.endpoint or "")
        if view is None or request.method != "POST" or not request.path.startswith("/v1/"):
            return None
        if HEADER not in request.headers or getattr(view, "repeats_by_itself", False):
            return None
        check(*getattr(view, "scopes", ()))
        key = idempotency_key()
        return _begun(key) if key else None

    @app.after_request
    def end(response: Response) -> Response:
        reservation: Reservation | None = g.pop("idempotency", None)
        if reservation is not None:
            # The request was carried out, so it mustn't fail only because the response can't be saved.
            with suppress(redis.RedisError, OSError):
                _note(reservation, response)
        return response


def _begun(key: str) -> Response | None:
    """Return the response to a repeated request. For a new request, reserve the key and return None."""
    try:
        found = store().idempotency.reserve(caller().id, key, _content())
    except KeyReused:
        raise key_reused() from None
    except StillRunning:
        response = respond(
            409,
            f"The first request with this {HEADER} is still in progress. Try again in a moment.",
            code="request_in_progress",
        )
        response.headers["Retry-After"] = _RETRY_AFTER
        return response
    except AnswerUnreadable:
        raise Problem(
            409,
            f"The first request with this {HEADER} was carried out, but its answer can't be decrypted, because "
            "RELAY_SECRET_KEY has changed.",
            code="idempotency_key_reused",
        ) from None
    if isinstance(found, Reservation):
        g.idempotency = found
        return None
    return _replayed(found)


def _content() -> bytes:
    """Return what identical requests have in common: method, path, query and body, with JSON fields sorted."""
    data = read_ahead()
    # A body that can't be parsed or serialized is compared byte for byte.
    with suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):
        data = orjson.dumps(orjson.loads(data), option=orjson.OPT_SORT_KEYS)
    return f"{request.method} {request.full_path}\n".encode("utf-8", "surrogatepass") + data


def _note(reservation: Reservation, response: Response) -> None:
    if response.status_code >= 500 or response.status_code in _NOT_FINAL:
        store().idempotency.release(reservation)
        return
    kept = {
        "status": response.status_code,
        "type": response.content_type,
        "headers": {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
        "body": base64.b64encode(response.get_data()).decode(),
    }
    store().idempotency.keep(reservation, orjson.dumps(kept))


def _replayed(kept: bytes) -> Response:
    answer: dict[str, Any] = orjson.loads(kept)
    response = Response(base64.b64decode(answer["body"]), answer["status"], content_type=answer["type"])
    response.headers.update(answer["headers"])
    response.headers[REPLAYED] = "true"
    return response
