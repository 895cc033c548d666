"""Error documents (RFC 9457): the fields of every error of the relay, and the meaning of its codes."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

CONTENT_TYPE: Final = "application/problem+json"
PAGE: Final = "/docs/errors"

CODES: Final[Mapping[str, str]] = {
    "bad_request": "The request is not valid HTTP, or its body is not JSON. Correct it before you send it again.",
    "unauthorised": "The API key is missing or wrong, or it was deleted or has expired. Send a valid key.",
    "forbidden": "The API key doesn't have the scope for the request, or a signed link is invalid or has expired.",
    "not_found": "There is nothing at this URL, or it has been removed.",
    "method_not_allowed": "The URL doesn't accept this method. `Allow` lists those that it accepts.",
    "not_acceptable": "`Accept` doesn't include the media type of this endpoint, which is JSON unless it is a file or "
    "a stream. Send `Accept: application/json`, or leave the header out.",
    "too_slow": "The body arrived too slowly. Send it faster, or in smaller requests.",
    "conflict": "The object already exists, its state doesn't allow the request, or the maximum number of objects "
    "has been reached.",
    "precondition_failed": "The object has changed since you read it, so its ETag no longer matches `If-Match`. Read "
    "it again. Or the object already exists, and the request has `If-None-Match: *`.",
    "idempotency_key_reused": "The `Idempotency-Key` was already used with a different request. Use a new key.",
    "request_in_progress": "The first request with this `Idempotency-Key` is still in progress. Try again after "
    "`Retry-After`.",
    "too_large": "The body is larger than the limit that `detail` names.",
    "unsupported_body": "The body is compressed, or its media type isn't supported.",
    "invalid": "A field or a parameter is wrong. `errors` names each wrong value, and says what a valid one "
    "looks like.",
    "too_many_requests": "A limit was reached. Wait for the number of seconds in `Retry-After`.",
    "headers_too_large": "The URL or the headers are too large.",
    "internal_error": "An internal error occurred. See the relay's log for details.",
    "not_implemented": "The relay doesn't support this kind of request.",
    "gateway_error": "The gateway can't be reached, or something else answers at `gateway_url`.",
    "unavailable": "The store can't be reached, or the relay or the device is busy. Nothing was done. Try again after "
    "`Retry-After`.",
    "outcome_unknown": "A command was sent, but it isn't known whether the device carried it out. Check the device "
    "before you send the command again.",
    "command_cancelled": "The command was cancelled.",
    "command_being_sent": "The command can't be cancelled, because it is being sent to the gateway. If it then waits "
    "for the device, it can be cancelled.",
    "command_ended": "The command can't be cancelled, because it has already ended.",
    "command_failed": "The command failed, for the reason in `detail`.",
}
"""Each code and what it means. Codes of commands that the gateway refused are its StatusCodes' names."""

_BY_STATUS: Final[Mapping[int, str]] = {
    400: "bad_request",
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "too_slow",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    414: "headers_too_large",
    415: "unsupported_body",
    422: "invalid",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal_error",
    501: "not_implemented",
    502: "gateway_error",
    503: "unavailable",
}


def code_of(status: int) -> str:
    """Return the code of errors with an HTTP status that have no other code."""
    return _BY_STATUS.get(status, "bad_request" if status < 500 else "internal_error")


def problem_document(
    status: int,
    detail: str,
    *,
    code: str | None = None,
    title: str | None = None,
    origin: str = "",
    request_id: str | None = None,
) -> dict[str, Any]:
    """Return an error's document.

    `code` is by default that of the status. `origin` is the relay's URL; without it, `type` is relative to the
    request's URL.
    """
    code = code or code_of(status)
    document: dict[str, Any] = {
        "type": f"{origin}{PAGE}#{code}",
        "code": code,
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if request_id is not None:
        document["request_id"] = request_id
    return document
