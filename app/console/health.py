"""Health: rates, latencies, what waits, the store, versions, and what `doctor` would say."""

from __future__ import annotations

import platform
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import redis
from flask import Blueprint, Response

from app.api import system
from app.api.auth import needs, store
from app.checks import settings_warnings
from app.console.frame import api, page
from app.console.subscriptions import plot
from app.store.connection import masters

blueprint = Blueprint("health", __name__, url_prefix="/console/health")

_RATES = ("callbacks", "events", "delivered", "failed")
_BACKLOG = ("pending", "retrying", "dead")
_PLOTTED = 360  # points; more are no wider than a pixel


@blueprint.get("")
@needs("metrics:read")
def show() -> Response:
    """How the relay does."""
    health = api(system.health)
    samples = store().history.samples()
    totals = store().history.totals()
    return page(
        "health",
        health=health,
        totals=totals,
        rates=_rates(samples),
        backlog=_columns(_thinned(samples), _BACKLOG),
        latency=plot(store().subscriptions.ids()[:20]),
        servers=[_server(client) for client in masters(store().connection.redis)],
        findings=[*health["warnings"], *settings_warnings(store().settings)],
        versions={
            "cams-relay": health["version"],
            "Python": platform.python_version(),
            **{name: version(name) for name in ("flask", "rq", "redis", "gunicorn", "pycurl")},
        },
        durability=store().settings.durability,
        retention_days=store().settings.retention_days,
    )


def _thinned(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return samples[:: max(1, len(samples) // _PLOTTED)]


def _columns(rows: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, list[Any]]:
    return {name: [row.get(name, 0) for row in rows] for name in ("at", *names)}


def _rates(samples: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """What came to the counters a minute; a counter that fell (a device was removed) counts as nothing new."""
    rows = []
    for before, after in pairwise(_thinned(samples)):
        minutes = max(1, after["at"] - before["at"]) / 60
        grown = {name: round(max(0, after[name] - before[name]) / minutes, 1) for name in _RATES}
        rows.append({"at": after["at"], **grown})
    return _columns(rows, _RATES)


def _server(client: Any) -> dict[str, Any]:
    """What a server of the store says of itself; many hosted ones don't say all."""
    try:
        info = client.info()
    except (redis.RedisError, OSError):
        return {}
    return {
        "name": info.get("server_name") or ("Valkey" if info.get("valkey_version") else "Redis"),
        "version": info.get("valkey_version") or info.get("redis_version"),
        "memory": info.get("used_memory"),
        "memory_limit": info.get("maxmemory") or None,
        "append_only": bool(info.get("aof_enabled")),
        "replicas": info.get("connected_slaves", 0),
        "uptime": info.get("uptime_in_seconds"),
        "clients": info.get("connected_clients"),
    }
