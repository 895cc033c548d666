"""The console: pages for people at `/` and `/console`, over the API's own functions.

A page reads through the API's views (`ask.api`), so that scopes, filters and errors are the API's. What changes
something is sent to `/v1` by the page itself, with the session's cookie and its CSRF token.
"""

from __future__ import annotations

from flask import Flask

from app.console import (
    actions,
    attendance,
    devices,
    errors,
    files,
    frame,
    health,
    live,
    sign_in,
    subscriptions,
)

for module in (sign_in, live, devices, subscriptions, actions, attendance, health, files):
    frame.blueprint.register_blueprint(module.blueprint)
errors.register(frame.blueprint)


def register(app: Flask) -> None:
    """Adds the console to the web application."""
    app.register_blueprint(frame.blueprint)
