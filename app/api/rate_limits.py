"""Headers about the quotas of an API key: in the response to each request whose body was counted."""

from __future__ import annotations

from flask import Flask, Response, g


def register(app: Flask) -> None:
    """Add `RateLimit` and `RateLimit-Policy`, and the exact `Retry-After` if a quota is exceeded."""

    @app.after_request
    def add(response: Response) -> Response:
        response.headers.update(g.get("rate_limit", {}))
        if response.status_code == 429 and "retry_after" in g:
            response.headers["Retry-After"] = str(g.retry_after)
        return response
