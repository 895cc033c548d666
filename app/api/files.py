"""Photos and unrecognised bodies behind signed, expiring URLs; they need no key."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app import ids
from app.api.auth import PUBLIC, needs, store
from app.api.problems import Problem
from app.store.keys import Shard
from app.vault import SealError

blueprint = Blueprint("files", __name__)


@blueprint.get("/photos/<blob_id>")
@needs(PUBLIC)
def photo(blob_id: str) -> Response:
    """The photo of an `attendance.photo`."""
    mime, _, data = _opened("photo", blob_id).partition(b"\n")
    return _file(data, mime.decode(), "inline")


@blueprint.get("/bodies/<blob_id>")
@needs(PUBLIC)
def unrecognised(blob_id: str) -> Response:
    """The body of a `callback.unrecognised`, as it came, decrypted."""
    return _file(_opened("body", blob_id), "application/octet-stream", "attachment")


def _opened(purpose: str, blob_id: str) -> bytes:
    arguments = request.args
    if not store().vault.path_is_signed(
        request.path, arguments.get("expires", ""), arguments.get("signature", "")
    ):
        raise Problem(403, "This link is altered or has expired: take a fresh one from GET /v1/events/{id}.")
    shard = ids.shard_of(blob_id)
    sealed = None if shard is None else store().connection.redis.get(Shard(shard).blob(blob_id))
    if sealed is None:
        raise Problem(404, "It is older than the retention and was removed.")
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
