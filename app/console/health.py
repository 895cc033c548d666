"""Health: rates, latencies, queues, the store, versions, and the findings of `doctor`."""

from __future__ import annotations

import platform
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import redis
from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from app.api import health_and_metrics
from app.api.auth import needs, store
from app.api.problems import Problem, respond
from app.console.errors import show_problem
from app.console.frame import api, page, wants_page
from app.console.subscriptions import plot
from app.console.texts import text
from app.health.checks import durability_in_force, settings_warnings
from app.health.findings import problems
from app.store import StoreAway
from app.store.server.connection import masters

blueprint = Blueprint("health", __name__, url_prefix="/console/health")

_AWAY = (StoreAway, redis.ConnectionError, redis.TimeoutError)
_RATES = ("callbacks", "events", "delivered", "failed")
_BACKLOG = ("pending", "retrying", "dead")
_PLOTTED = 360  # points; with more, each would be narrower than a pixel


@blueprint.get("")
@needs("metrics:read")
def show() -> Response:
    """Show the health of the relay."""
    health = api(health_and_metrics.health)
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
        findings=_findings(health),
        versions={
            "cams-relay": health["version"],
            "Python": platform.python_version(),
            **{name: version(name) for name in ("flask", "rq", "redis", "gunicorn", "pycurl")},
        },
        durability=durability_in_force(store()),
        retention_days=store().settings.retention_days,
    )


def _findings(health: dict[str, Any]) -> list[tuple[bool, str]]:
    """Return the findings of `/health` and of the settings: is it a problem, and the sentence; problems first."""
    of_settings = settings_warnings(store().settings)
    broken = {*health["problems"], *problems(of_settings)}
    return sorted(
        ((one in broken, one) for one in [*health["warnings"], *of_settings]), key=lambda one: not one[0]
    )


def _show_away(_error: Exception) -> Response:
    """Show only the public data of `GET /health`, because sessions aren't known without the store."""
    if not wants_page():
        return respond(503, text("problem.away"))
    return page("health_away", health=api(health_and_metrics.health))


@blueprint.errorhandler(Problem)
def _not_signed_in(error: Problem) -> ResponseReturnValue:
    """Show the page without a session while the store is away, because nobody can sign in then."""
    if error.status == 401 and wants_page() and api(health_and_metrics.health)["store"] == "away":
        return _show_away(error)
    return show_problem(error)


for _kind in _AWAY:
    blueprint.register_error_handler(_kind, _show_away)


def _thinned(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return samples[:: max(1, len(samples) // _PLOTTED)]


def _columns(rows: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, list[Any]]:
    return {name: [row.get(name, 0) for row in rows] for name in ("at", *names)}


def _rates(samples: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the increase of the counters per minute. A counter that fell (after removing a device) counts as zero."""
    rows = []
    for before, after in pairwise(_thinned(samples)):
        minutes = max(1, after["at"] - before["at"]) / 60
        grown = {name: round(max(0, after[name] - before[name]) / minutes, 1) for name in _RATES}
        rows.append({"at": after["at"], **grown})
    return _columns(rows, _RATES)


def _server(client: Any) -> dict[str, Any]:
    """Return a store server's information about itself, which is incomplete with many hosted ones."""
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
