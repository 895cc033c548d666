"""The web application: the API and the console."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask

from app import api, console
from app.settings.table import Settings
from app.web.public_path import serve_below_public_path


def create_app(settings: Settings, sync: Any = os.fsync) -> Flask:
    """Create the web process's application. `sync` flushes a file to disk, as for the API's `create_app`."""
    app = api.create_app(settings, sync)
    console.register(app)
    serve_below_public_path(app, settings.public_url)
    return app
