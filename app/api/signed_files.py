"""Photos and unrecognised bodies at signed URLs that expire. An API key is only needed for an unredacted body."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response, request

from app.api.auth import PUBLIC, caller_if_any, needs, store
from app.api.problems import Problem
from app.base import ids
from app.base.vault import SealError
from app.callbacks.body_redaction import content_kind, redacted_body
from app.store.server.keys import Shard

blueprint = Blueprint("files", __name__)


@blueprint.get("/photos/<blob_id>")
@needs(PUBLIC)
def photo(blob_id: str) -> Response:
    """Returns the photo of an `attendance.photo` event."""
    mime, _, data = _opened("photo", blob_id).partition(b"\n")
    return _file(data, mime.decode(), "inline")


@blueprint.get("/bodies/<blob_id>")
@needs(PUBLIC)
def unrecognised(blob_id: str) -> Response:
    """Returns the body of a `callback.unrecognised` event. Secrets are removed unless the key has `templates:read`."""
    body = _opened("body", blob_id)
    key = caller_if_any()
    if key is not None and key.may("templates:read") and key.device_ids is None:
        store().audit.record(key.id, "body.read", subject=blob_id)
        response = _file(body, "application/octet-stream", "attachment")
    else:
        response = _file(_redacted(body), "application/json", "inline")
    response.headers["Cache-Control"] = "no-store"  # the next request for this link may come without a key
    return response


def _redacted(body: bytes) -> bytes:
    """Return the body without its secrets. If it can't be parsed, return its size, kind and keyed digest instead."""
    return redacted_body(body) or orjson.dumps(
        {
            "size_bytes": len(body),
            "content_kind": content_kind(body),
            "digest": store().vault.digest("body", body),
        }
    )


def _opened(purpose: str, blob_id: str) -> bytes:
    arguments = request.args
    if not store().vault.path_is_signed(
        request.path, arguments.get("expires", ""), arguments.get("signature", "")
    ):
        raise Problem(403, "This link is invalid or has expired. Get a new one from GET /v1/events/{id}.")
    shard = ids.shard_of(blob_id)
    sealed = None if shard is None else store().connection.redis.get(Shard(shard).blob(blob_id))
    if sealed is None:
        raise Problem(404, "This file was older than the retention period and has been removed.")
    try:
        return store().vault.open(purpose, sealed, blob_id)
    except SealError as error:
        raise Problem(404, str(error)) from None


def _file(data: bytes, mime: str, disposition: str) -> Response:
    response = Response(data, content_type=mime)
    response.headers["Content-Disposition"] = disposition
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cache-Control"] = "private, max-age=3600"
    return response
