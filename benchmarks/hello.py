"""The baseline: bare Flask, under the relay's own gunicorn settings."""

from __future__ import annotations

from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/callback")
def hello() -> Response:
    """Reads the body and answers the same bytes as the relay."""
    request.get_data()
    return Response(b'{"status":"done"}', content_type="application/json")
