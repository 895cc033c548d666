"""The web application: the API, and the console beside it."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask

from app import api, console
from app.settings import Settings


def create_app(settings: Settings, sync: Any = os.fsync) -> Flask:
    """All that the web process answers. `sync` flushes a file to disk, as for the API's own `create_app`."""
    app = api.create_app(settings, sync)
    console.register(app)
    return app
