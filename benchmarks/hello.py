"""The first baseline: bare Flask with the relay's gunicorn settings."""

from __future__ import annotations

from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/callback")
def hello() -> Response:
    """Read the body, and return the same response as the relay."""
    request.get_data()
    return Response(b'{"status":"done"}', content_type="application/json")
