"""The metrics of `/metrics` that are read from the store, and so cover all processes.

Labels are IDs of devices and subscriptions, reasons, and names of background loops. They never contain personal data
or values that callers choose.

docs/monitoring/ contains alerts and a dashboard. A test checks that they only use metrics that exist.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector as PrometheusCollector

from app.health.archive_checks import archive_warnings
from app.health.backup_checks import backups_fail, newest_backup_seconds
from app.health.delivery_checks import unheard
from app.health.disk_checks import disk_free
from app.health.findings import problems
from app.health.public_url import public_url_up
from app.health.refused_checks import recent_sources
from app.store import Store
from app.store.commands.keys import CommandKeys
from app.store.intake.unknown_shapes import NOT_REPORTED
from app.store.jobs import REFUSED as JOBS_REFUSED
from app.store.server.connection import is_away, masters
from app.store.server.damage import left_out
from app.store.spool.spool import Spool, Summary
from app.store.upkeep.loop_reports import LOOP_FAILURES

Family = CounterMetricFamily | GaugeMetricFamily

API_UNAUTHORISED = "api_unauthorised"
API_OVER_QUOTA = "api_over_quota"
SPOOL_DROPPED = "spool_dropped"
_CALLBACKS = "callbacks_"


class Collector(PrometheusCollector):
    """Collect the metrics for each scrape. While the store is away, report that, and metrics from this machine only."""

    def __init__(self, kept: Store, spool: Spool | None) -> None:
        self._store = kept
        self._spool = spool

    def collect(self) -> Iterator[Family]:
        up = GaugeMetricFamily("cams_relay_store_up", "1 if the store can be reached, else 0")
        found: list[Family] = []
        try:
            for name, collect in (
                ("store", self._server),
                ("devices", self._devices),
                ("subscriptions", self._subscriptions),
                ("counters", self._counted),
                ("commands", self._commands),
                ("shards", self._unattended),
                ("backups", self._backups),
                ("the public URL", self._public_url),
                ("the archive", self._archive),
            ):
                with left_out(f"the metrics of {name}"):
                    found += [*collect()]
            up.add_metric([], 1)
        except (redis.RedisError, OSError) as error:
            if not is_away(error):
                raise
            found.clear()
            up.add_metric([], 0)
        yield from (up, *found, *self._machine())

    def _machine(self) -> Iterator[Family]:
        yield _gauge(
            "spool_bytes",
            "Size of the callbacks waiting on this machine's disk, in bytes",
            self._spool.size() if self._spool is not None else 0,
        )
        yield from self._spooled()
        free = disk_free(self._store.settings.data_dir)
        if free is not None:
            yield _gauge("disk_free_ratio", "Free space on the disk of RELAY_DATA_DIR, from 0 to 1", free)

    def _spooled(self) -> Iterator[Family]:
        empty = Summary(0, None, 0, None, (), ())
        found = self._spool.summary() if self._spool is not None else empty
        now = time.time()
        for name, text, since in (
            ("spool", "callback waiting on this machine's disk, in seconds", found.oldest_waiting),
            ("spool_parked", "parked callback, which can't be stored, in seconds", found.oldest_parked),
        ):
            age = 0.0 if since is None else max(0.0, now - since)
            yield _gauge(f"{name}_oldest_seconds", f"Age of the oldest {text}", age)
        yield _gauge("spool_callbacks", "Callbacks waiting on this machine's disk", found.waiting)
        yield _gauge("spool_parked_callbacks", "Parked callbacks, which can't be stored", found.parked)
        yield _gauge(
            "spool_damaged_files",
            "Spool files that are kept because they are damaged or can't be decrypted",
            len(found.damaged) + len(found.unreadable),
        )

    def _server(self) -> Iterator[Family]:
        failing = 0
        for server in masters(self._store.connection.redis):
            told = server.info("persistence")
            states = (told.get("aof_last_write_status"), told.get("rdb_last_bgsave_status"))
            failing += any(state not in (None, "ok") for state in states)
        yield _gauge("store_writes_failing", "Store servers that can't write to their disk", failing)

    def _unattended(self) -> Iterator[Family]:
        connection = self._store.connection
        pipeline = connection.redis.pipeline(transaction=False)
        for shard in connection.shards:
            pipeline.exists(shard.lease)
        unattended = sum(not held for held in pipeline.execute())
        yield _gauge("shards_without_worker", "Shards that no worker delivers for", unattended)

    def _backups(self) -> Iterator[Family]:
        yield _gauge(
            "backups_failing",
            "1 if automatic backups fail, are late or aren't made, else 0",
            float(backups_fail(self._store)),
        )
        age = newest_backup_seconds(self._store)
        newest = GaugeMetricFamily(
            "cams_relay_backup_newest_seconds",
            "Age of the newest automatic backup, in seconds; missing if there is none",
        )
        if age is not None:
            newest.add_metric([], age)
        yield newest

    def _public_url(self) -> Iterator[Family]:
        up = GaugeMetricFamily(
            "cams_relay_public_url_up",
            "1 if this relay answers at RELAY_PUBLIC_URL, 0 if not and no callbacks arrive; missing if unknown",
        )
        reached = public_url_up(self._store)
        if reached is not None:
            up.add_metric([], float(reached))
        yield up

    def _archive(self) -> Iterator[Family]:
        failing = GaugeMetricFamily(
            "cams_relay_archive_failing",
            "1 if the archive can't be written or no worker writes it, 0 if not; missing without an archive",
        )
        if self._store.past.archive is not None:
            failing.add_metric([], float(bool(problems(archive_warnings(self._store)))))
        yield failing

    def _counted(self) -> Iterator[Family]:
        self._store.counts.write()  # counts of other processes may be a few seconds old
        counters = self._store.relay_events.counters()
        refused = CounterMetricFamily(
            "cams_relay_callbacks_refused", "Callbacks that were refused", labels=["reason"]
        )
        for name, value in counters.items():
            if name.startswith(_CALLBACKS):
                refused.add_metric([name.removeprefix(_CALLBACKS)], value)
        yield refused
        failures = CounterMetricFamily(
            "cams_relay_loop_failures", "Failures of background loops", labels=["loop"]
        )
        for name, value in counters.items():
            if name.startswith(LOOP_FAILURES):
                failures.add_metric([name.removeprefix(LOOP_FAILURES)], value)
        yield failures
        yield _gauge(
            "callbacks_refused_sources",
            "Sources that seem to be devices and whose callbacks were refused within the last hour",
            len(recent_sources(self._store)),
        )
        unreadable, _ = self._store.event_reader.noted()
        yield _gauge("events_unreadable", "Stored events that can't be read", unreadable)
        yield CounterMetricFamily(
            "cams_relay_jobs_refused",
            "Jobs found in Redis that didn't come from the relay and were not run",
            value=counters.get(JOBS_REFUSED, 0),
        )
        yield CounterMetricFamily(
            "cams_relay_spool_dropped",
            "Spooled callbacks that were dropped because their device had been removed",
            value=counters.get(SPOOL_DROPPED, 0),
        )
        yield CounterMetricFamily(
            "cams_relay_api_unauthorised",
            "Requests with a wrong API key or without one",
            value=counters.get(API_UNAUTHORISED, 0),
        )
        yield CounterMetricFamily(
            "cams_relay_api_over_quota",
            "Requests that were refused because their API key had sent too much",
            value=counters.get(API_OVER_QUOTA, 0),
        )
        yield CounterMetricFamily(
            "cams_relay_unknown_fields_not_reported",
            "Callbacks with unknown fields that were not reported, because of the limit per device and day",
            value=counters.get(NOT_REPORTED, 0),
        )

    def _commands(self) -> Iterator[Family]:
        pipeline = self._store.connection.redis.pipeline(transaction=False)
        all_keys = [CommandKeys(shard) for shard in self._store.connection.shards]
        for keys in all_keys:
            pipeline.zcard(keys.waiting)
            pipeline.smembers(keys.busy)
        answers = pipeline.execute()
        waiting, busy = sum(answers[::2]), answers[1::2]
        for keys, devices in zip(all_keys, busy, strict=True):
            for device in devices:
                pipeline.llen(keys.queue(device.decode()))
        queued = sum(pipeline.execute())
        yield _gauge("commands_queued", "Commands that are queued or being sent", queued)
        yield _gauge("commands_waiting", "Commands that the gateway holds for a device", waiting)

    def _devices(self) -> Iterator[Family]:
        helps = {
            "callbacks": "Callbacks accepted",
            "events": "Events published",
            "duplicates": "Duplicate callbacks and punches",
            "unrecognised": "Callbacks that could not be read completely",
            "clock_suspect": "Punches whose time is far in the future or very old",
            "stale": "User changes ignored because a newer one had already arrived",
        }
        families = {
            name: CounterMetricFamily(f"cams_relay_device_{name}", text, labels=["device_id"])
            for name, text in helps.items()
        }
        seen = GaugeMetricFamily(
            "cams_relay_device_last_seen_timestamp_seconds",
            "Time of the device's last callback, as a Unix timestamp",
            labels=["device_id"],
        )
        silence = GaugeMetricFamily(
            "cams_relay_device_silent",
            "1 if the device was reported silent and isn't back, else 0",
            labels=["device_id"],
        )
        silent = self._store.devices.silent()
        for device_id, (counters, last_seen) in self._store.devices.counted().items():
            silence.add_metric([device_id], device_id in silent)
            for name, family in families.items():
                family.add_metric([device_id], counters[name])
            if last_seen is not None:
                seen.add_metric([device_id], last_seen / 1000)
        yield from families.values()
        yield seen
        yield silence
        yield _gauge(
            "devices_never_heard",
            "Devices that were registered more than ten minutes ago and have never sent a callback",
            len(unheard(self._store)),
        )

    def _subscriptions(self) -> Iterator[Family]:
        counters = {
            "delivered": "Successful deliveries",
            "failed": "Failed delivery attempts",
        }
        gauges = {
            "pending": "Deliveries waiting for their first attempt",
            "retrying": "Deliveries waiting for a retry",
            "dead": "Dead letters",
            "oldest_seconds": "Age of the oldest undelivered event, in seconds",
        }
        families: dict[str, Any] = {
            name: CounterMetricFamily(f"cams_relay_deliveries_{name}", text, labels=["subscription_id"])
            for name, text in counters.items()
        } | {
            name: GaugeMetricFamily(f"cams_relay_deliveries_{name}", text, labels=["subscription_id"])
            for name, text in gauges.items()
        }
        disabled = 0
        subscriptions = self._store.subscriptions.all()
        told = self._store.delivery_counts.overview([one.id for one in subscriptions], time.time())
        for subscription in subscriptions:
            disabled += subscription.status != "active"
            for name, family in families.items():
                family.add_metric([subscription.id], told[subscription.id][name])
        yield from families.values()
        yield _gauge("subscriptions_disabled", "Disabled subscriptions", disabled)
        parked = len(self._store.parked.all())
        yield _gauge(
            "subscriptions_parked",
            "Parked subscriptions, whose deliveries are waiting because their data is damaged",
            parked,
        )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"cams_relay_{name}", text, value=value)
