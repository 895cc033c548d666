"""What `/metrics` tells, read from the store for all processes at once.

Labels are ids of devices and subscriptions, and reasons: nothing of people, nothing that callers make up.

docs/monitoring/ has alerts and a dashboard on these; a test checks that they name no other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector as PrometheusCollector

from app.checks import disk_free
from app.store import Store
from app.store.connection import masters
from app.store.outcomes import CommandKeys
from app.store.spool import Spool

Family = CounterMetricFamily | GaugeMetricFamily

API_UNAUTHORISED = "api_unauthorised"
_CALLBACKS = "callbacks_"
_RETRIES_LOOKED_AT = 200


class Collector(PrometheusCollector):
    """Collects anew for each scrape. While the store is away, it tells that, and what is on this machine."""

    def __init__(self, kept: Store, spool: Spool | None) -> None:
        self._store = kept
        self._spool = spool

    def collect(self) -> Iterator[Family]:
        up = GaugeMetricFamily("cams_relay_store_up", "1 where the store answers")
        found: list[Family] = []
        try:
            found += [*self._server(), *self._devices(), *self._subscriptions(), *self._counted()]
            found += [*self._commands(), self._unattended()]
            up.add_metric([], 1)
        except (redis.RedisError, OSError):
            found.clear()
            up.add_metric([], 0)
        yield from (up, *found, *self._machine())

    def _machine(self) -> Iterator[Family]:
        yield _gauge(
            "spool_bytes",
            "Bytes of callbacks waiting on this machine's disk",
            self._spool.size() if self._spool is not None else 0,
        )
        free = disk_free(self._store.settings.data_dir)
        if free is not None:
            yield _gauge("disk_free_ratio", "Part of RELAY_DATA_DIR's disk that is free", free)

    def _server(self) -> Iterator[Family]:
        failing = 0
        for server in masters(self._store.connection.redis):
            told = server.info("persistence")
            states = (told.get("aof_last_write_status"), told.get("rdb_last_bgsave_status"))
            failing += any(state not in (None, "ok") for state in states)
        yield _gauge("store_writes_failing", "Servers of the store that can't write to their disk", failing)

    def _unattended(self) -> Family:
        connection = self._store.connection
        unattended = sum(not connection.redis.exists(shard.lease) for shard in connection.shards)
        return _gauge("shards_without_worker", "Shards that no worker delivers for", unattended)

    def _counted(self) -> Iterator[Family]:
        counters = self._store.relay_events.counters()
        refused = CounterMetricFamily(
            "cams_relay_callbacks_refused", "Callbacks that were not kept", labels=["reason"]
        )
        for name, value in counters.items():
            if name.startswith(_CALLBACKS):
                refused.add_metric([name.removeprefix(_CALLBACKS)], value)
        yield refused
        yield CounterMetricFamily(
            "cams_relay_api_unauthorised",
            "Requests with a wrong API key, or none",
            value=counters.get(API_UNAUTHORISED, 0),
        )

    def _commands(self) -> Iterator[Family]:
        client, queued, waiting = self._store.connection.redis, 0, 0
        for shard in self._store.connection.shards:
            keys = CommandKeys(shard)
            waiting += client.zcard(keys.waiting)
            queued += sum(client.llen(keys.queue(device.decode())) for device in client.smembers(keys.busy))
        yield _gauge("commands_queued", "Commands that wait for their turn, or are being sent", queued)
        yield _gauge("commands_waiting", "Commands that the gateway holds for its device", waiting)

    def _devices(self) -> Iterator[Family]:
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
        seen = GaugeMetricFamily(
            "cams_relay_device_last_seen_timestamp_seconds",
            "When a device's last callback came",
            labels=["device_id"],
        )
        for device_id in self._store.devices.ids():
            status = self._store.devices.status(device_id)
            for name, family in families.items():
                family.add_metric([device_id], status.get(name, 0))
            last = self._store.devices.last_seen(device_id)
            if last is not None:
                seen.add_metric([device_id], last / 1000)
        yield from families.values()
        yield seen

    def _subscriptions(self) -> Iterator[Family]:
        counters = {
            "delivered": "Deliveries that succeeded",
            "failed": "Attempts that failed",
        }
        gauges = {
            "pending": "Deliveries whose attempt is to come",
            "retrying": "Deliveries waiting for a retry",
            "dead": "Dead letters",
            "oldest_seconds": "Age of the oldest event that is not delivered",
        }
        families: dict[str, Any] = {
            name: CounterMetricFamily(f"cams_relay_deliveries_{name}", text, labels=["subscription_id"])
            for name, text in counters.items()
        } | {
            name: GaugeMetricFamily(f"cams_relay_deliveries_{name}", text, labels=["subscription_id"])
            for name, text in gauges.items()
        }
        disabled = 0
        for subscription in self._store.subscriptions.all():
            disabled += subscription.status != "active"
            told = self._store.deliveries.health(subscription.id)
            told |= self._store.deliveries.trouble(subscription.id, time.time(), _RETRIES_LOOKED_AT)
            for name, family in families.items():
                family.add_metric([subscription.id], told[name])
        yield from families.values()
        yield _gauge("subscriptions_disabled", "Subscriptions that take no events", disabled)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cams_relay_{name}", text, value=value)
