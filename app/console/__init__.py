"""The console: pages for people at `/` and `/console`, on top of the API's functions.

A page reads data through the API's views (`ask.api`), so that scopes, filters and errors are the same. The page itself
sends changes to `/v1`, with the session's cookie and its CSRF token.
"""

from __future__ import annotations

from flask import Flask

from app.console import (
    actions,
    attendance,
    confirm,
    devices,
    errors,
    files,
    frame,
    health,
    import_employees,
    live,
    refused,
    sign_in,
    subscriptions,
)

for module in (
    sign_in,
    live,
    devices,
    subscriptions,
    actions,
    confirm,
    attendance,
    import_employees,
    health,
    refused,
    files,
):
    frame.blueprint.register_blueprint(module.blueprint)
errors.register(frame.blueprint)


def register(app: Flask) -> None:
    """Add the console to the web application."""
    app.register_blueprint(frame.blueprint)
