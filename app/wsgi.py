"""The web process, for gunicorn: `gunicorn -c python:app.gunicorn app.wsgi:app`."""

from __future__ import annotations

import os
from typing import Any

import gevent

from app.log import configure
from app.settings import current
from app.web import create_app


def _sync(descriptor: int) -> Any:
    """fsync in a thread of its own, so that other requests run meanwhile."""
    return gevent.get_hub().threadpool.apply(os.fsync, (descriptor,))


configure(current().log_level)
app = create_app(current(), _sync)
app.extensions["receiver"].start()
