"""`/health` and `/metrics`."""

from __future__ import annotations

import time

import redis
from flask import Blueprint, Response, current_app
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from app import __version__
from app.api.auth import PUBLIC, check, needs, store
from app.api.io import answer
from app.api.metrics import Collector
from app.checks import store_warnings

blueprint = Blueprint("system", __name__)

_WARNINGS_SECONDS = 60.0


@blueprint.get("/health")
@needs(PUBLIC)
def health() -> Response:
    """200 when callbacks can be taken, on disk if need be; 503 otherwise."""
    spool = current_app.extensions["spool"]
    try:
        store().connection.redis.ping()
        away = False
    except (redis.RedisError, OSError):
        away = True
    spooled = spool.size() if spool is not None else 0
    healthy = not away or (spool is not None and spool.writable())
    body = {
        "status": "ok" if healthy else "unavailable",
        "version": __version__,
        "store": "away" if away else "ok",
        "spooled_bytes": spooled,
        "warnings": [] if away else _warnings(),
    }
    return answer(body, 200 if healthy else 503)


def _warnings() -> list[str]:
    """What is wrong with the store, asked once a minute."""
    found: tuple[float, list[str]] = current_app.extensions.get("store_warnings", (0.0, []))
    if time.monotonic() - found[0] > _WARNINGS_SECONDS or not found[0]:
        found = (time.monotonic(), store_warnings(store()))
        current_app.extensions["store_warnings"] = found
    return found[1]


@blueprint.get("/metrics")
@needs(PUBLIC)
def metrics() -> Response:
    """Prometheus text."""
    if not store().settings.metrics_open:
        check("metrics:read")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(store(), current_app.extensions["spool"]))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
