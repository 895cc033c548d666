"""Compresses larger responses with gzip, if the client accepts that."""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

_SMALLEST = 4 * 1024
_LARGEST = 1024 * 1024  # more would hold up other requests for too long
_LEVEL = 4
_TYPES = frozenset(
    ("application/json", "text/csv", "application/yaml", "text/yaml", "text/javascript", "text/css")
)


def register(app: Flask) -> None:
    """Compress responses. Register this first, so that it runs after everything else that changes responses.

    Responses to requests with cookies aren't compressed, because their size could reveal secrets of a session to other
    sites. Neither are those of the API with an ETag, because the ETag is for the uncompressed data, and If-Match
    compares exactly.
    """

    @app.after_request
    def compress(response: Response) -> Response:
        if response.mimetype not in _TYPES or response.is_streamed or response.direct_passthrough:
            return response
        response.vary.add("Accept-Encoding")
        etag, is_weak = response.get_etag()
        if (
            response.status_code != 200
            or "Content-Encoding" in response.headers
            or "Cookie" in request.headers
            or (etag is not None and request.path.startswith("/v1/"))
            or request.accept_encodings["gzip"] <= 0
        ):
            return response
        data = response.get_data()
        if not _SMALLEST <= len(data) <= _LARGEST:
            return response
        response.set_data(gzip.compress(data, _LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
        if etag is not None and not is_weak:
            response.set_etag(etag, weak=True)
        return response
