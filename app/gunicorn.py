"""gunicorn's settings: gevent workers, for the long waits of streams and commands."""

from __future__ import annotations

import json
import os
import socket

from gunicorn import util  # type: ignore[import-untyped]

from app.settings import SettingsError, current

try:
    _settings = current()
except SettingsError as error:
    raise SystemExit(str(error)) from None

bind = [f"{os.environ.get('HOST') or '0.0.0.0'}:{_settings.port}"]
workers = _settings.web_concurrency
worker_class = "app.worker.RelayWorker"
worker_connections = 1_000
keepalive = 65
timeout = 60
graceful_timeout = 5  # idle keep-alive connections would be waited for
backlog = 2_048
limit_request_line = 8_190
loglevel = "warning"
accesslog = None
control_socket_disable = True

# What proxies say is read by app.api, as RELAY_TRUSTED_PROXIES allows. By itself gunicorn would believe loopback, and
# whom the variable FORWARDED_ALLOW_IPS names (`*` on some platforms), as to scheme and path.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""


def _write_problem(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """What gunicorn itself refuses (no HTTP, a URL or headers too long) is a problem like every other error."""
    problem = {"type": "about:blank", "title": reason, "status": status, "detail": message or reason}
    body = json.dumps(problem)
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
    util.write_nonblock(sock, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("latin-1", "replace"))


util.write_error = _write_problem
