"""Request IDs. Every request has one, which is in its response and its log lines."""

from __future__ import annotations

import secrets
from contextlib import suppress

from flask import Flask, Response, request
from redis import RedisError

from app.api.auth import store
from app.api.metrics import API_UNAUTHORISED
from app.base.log import REQUEST_ID, REQUEST_ID_HEADER, request_id


def register(app: Flask) -> None:
    """Give each request an ID: the caller's if its characters are allowed, otherwise a new one."""

    @app.before_request
    def begin() -> None:
        offered = request.headers.get(REQUEST_ID_HEADER, "")
        request_id.set(offered if REQUEST_ID.fullmatch(offered) else f"req_{secrets.token_hex(12)}")

    @app.after_request
    def end(response: Response) -> Response:
        named = request_id.get()
        if named is not None:
            response.headers[REQUEST_ID_HEADER] = named
        if request.path.startswith("/v1/"):  # personal data, which proxies and browsers must not cache
            response.headers.setdefault("Cache-Control", "no-store")
        if response.status_code == 401 and not request.path.startswith("/callback"):
            with suppress(RedisError, OSError):
                store().counts.add(API_UNAUTHORISED)
        return response
