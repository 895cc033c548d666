"""gunicorn's settings: gevent workers, for the long waits of streams and commands."""

from __future__ import annotations

import os

from app.settings import SettingsError, current

try:
    _settings = current()
except SettingsError as error:
    raise SystemExit(str(error)) from None

bind = [f"{os.environ.get('HOST') or '0.0.0.0'}:{_settings.port}"]
workers = _settings.web_concurrency
worker_class = "gevent"
worker_connections = 1_000
keepalive = 65
timeout = 60
graceful_timeout = 5  # idle keep-alive connections would be waited for
backlog = 2_048
limit_request_line = 8_190
loglevel = "warning"
accesslog = None
control_socket_disable = True
