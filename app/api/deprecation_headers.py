"""The headers `Deprecation` and `Sunset` in the responses of operations that will be removed."""

from __future__ import annotations

import re

from flask import Flask, Response, request

from app.schemas.deprecations import DEPRECATED

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


def register(app: Flask) -> None:
    """Add the headers to every response of a deprecated operation, also to errors."""

    @app.after_request
    def announce(response: Response) -> Response:
        if DEPRECATED and request.url_rule is not None:
            route = _PARAMETER.sub(r"{\1}", request.url_rule.rule)
            found = DEPRECATED.get(f"{request.method} {route}")
            if found is not None:
                response.headers.update(found.headers())
        return response
