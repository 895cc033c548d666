"""gunicorn's settings: gevent workers, for the long waits of streams and commands."""

from __future__ import annotations

import json
import os
import resource
import socket
from contextlib import suppress
from typing import Any

from app.base.gunicorn_internals import application_of, send, send_errors_with
from app.base.problem_document import CONTENT_TYPE, problem_document
from app.settings.table import SettingsError, current

try:
    _settings = current()
except SettingsError as error:
    raise SystemExit(str(error)) from None

bind = [f"{os.environ.get('HOST') or '0.0.0.0'}:{_settings.port}"]
workers = _settings.web_concurrency
worker_class = "app.web.gunicorn_worker.RelayWorker"
# app.limits.connections closes connections beyond the setting. These haven't been refused or closed yet.
worker_connections = _settings.limits.connections + 64
keepalive = 65
timeout = 60
graceful_timeout = 3  # the worker waits for streams and idle connections; honcho and others kill it after 5 s
backlog = 2_048
limit_request_line = 8_190
loglevel = "warning"
accesslog = None
control_socket_disable = True

# In addition, there are files and connections to the store. Many systems allow 1024 descriptors unless asked for more.
_files, _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
_wanted = min(worker_connections + _settings.redis_connections + 512, _most_files)
if _most_files == resource.RLIM_INFINITY:
    _wanted = worker_connections + _settings.redis_connections + 512
if 0 <= _files < _wanted:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_wanted, _most_files))

# app.api reads the headers of proxies, as RELAY_TRUSTED_PROXIES allows. By default, gunicorn would trust loopback and
# the addresses in FORWARDED_ALLOW_IPS (`*` on some platforms) for scheme and path.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""


def _write_problem(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer a request that gunicorn itself refuses (not HTTP, URL or headers too long) with a problem document."""
    from app.base.log import (
        request_id,  # here, in a worker: the master must not import it before gevent patches
    )

    document = problem_document(status, message or reason, title=reason, request_id=request_id.get())
    body = json.dumps(document)
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {CONTENT_TYPE}\r\n"
    send(sock, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("latin-1", "replace"))


def worker_exit(_arbiter: Any, worker: Any) -> None:
    """Write the counts that a web process hasn't written to the store yet."""
    store = getattr(application_of(worker), "extensions", {}).get("store")
    if store is not None:
        with suppress(Exception):  # the store is away: the counts of a few seconds are lost
            store.counts.write()
            store.refused.write()
    from app.base.telemetry import TRACES  # here, in a worker, like the import above

    TRACES.stop()


send_errors_with(_write_problem)
