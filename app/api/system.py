"""`/health` and `/metrics`."""

from __future__ import annotations

import time

import redis
from flask import Blueprint, Response, current_app
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from app import __version__
from app.api.auth import PUBLIC, check, needs, store
from app.api.io import answer
from app.checks import store_warnings
from app.store import Store

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
    registry.register(_Collector(store()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Collector:
    """What is counted in the store, for all processes at once."""

    def __init__(self, kept: Store) -> None:
        self._store = kept

    def collect(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        spool = current_app.extensions["spool"]
        spooled = GaugeMetricFamily(
            "cams_relay_spool_bytes", "Bytes of callbacks waiting on this machine's disk"
        )
        spooled.add_metric([], spool.size() if spool is not None else 0)
        return [*self._devices(), *self._subscriptions(), self._refused(), spooled]

    def _refused(self) -> CounterMetricFamily:
        family = CounterMetricFamily(
            "cams_relay_callbacks_refused", "Callbacks that were not kept", labels=["reason"]
        )
        for name, value in self._store.relay_events.counters().items():
            family.add_metric([name.removeprefix("callbacks_")], value)
        return family

    def _devices(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        helps = {
            "callbacks": "Callbacks taken",
            "events": "Events published",
            "duplicates": "Callbacks or punches that were known already",
            "unrecognised": "Callbacks that could not be read, in part",
            "clock_suspect": "Punches far ahead of our clock or very old",
        }
        families = {
            name: CounterMetricFamily(f"cams_relay_device_{name}", text, labels=["device_id"])
            for name, text in helps.items()
        }
        for device_id in self._store.devices.ids():
            status = self._store.devices.status(device_id)
            for name, family in families.items():
                family.add_metric([device_id], status.get(name, 0))
        return list(families.values())

    def _subscriptions(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        delivered = CounterMetricFamily(
            "cams_relay_deliveries_delivered", "Deliveries that succeeded", labels=["subscription_id"]
        )
        helps = {
            "pending": "Deliveries whose attempt is to come",
            "retrying": "Deliveries waiting for a retry",
            "dead": "Dead letters",
        }
        gauges = {
            name: GaugeMetricFamily(f"cams_relay_deliveries_{name}", text, labels=["subscription_id"])
            for name, text in helps.items()
        }
        for subscription in self._store.subscriptions.all():
            health = self._store.deliveries.health(subscription.id)
            delivered.add_metric([subscription.id], health["delivered"])
            for name, family in gauges.items():
                family.add_metric([subscription.id], health[name])
        return [delivered, *gauges.values()]
