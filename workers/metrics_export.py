"""Sends the metrics of `/metrics` over OTLP, if OTEL_EXPORTER_OTLP_ENDPOINT is set.

Only the dispatcher that delivers for shard 0 sends them, because most cover all processes. The names are those of
`/metrics`, without `_total`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric as Family

from app import __version__
from app.api.metrics import Collector
from app.base import telemetry
from app.base.loops import LOOPS
from app.store import Store, is_away
from app.store.spool.spool import Spool

log = logging.getLogger("relay.telemetry")

_SECONDS = 60.0  # OpenTelemetry's default for OTEL_METRIC_EXPORT_INTERVAL
_SHORTEST_SECONDS = 1.0


def start(store: Store, leads: Callable[[], bool]) -> None:
    """Start a thread that sends metrics, if they should be sent. `leads` returns whether this process sends them."""
    if not telemetry.wanted("metrics"):
        return
    if not telemetry.is_installed():
        log.error("%s", telemetry.NOT_INSTALLED)
        return
    telemetry.silence()
    threading.Thread(target=_send_for_ever, args=(store, leads), name="metrics", daemon=True).start()


def _send_for_ever(store: Store, leads: Callable[[], bool]) -> None:
    loop, interval, send = LOOPS.get("metrics by OTLP"), _interval(), None
    while True:
        time.sleep(interval)
        try:
            if leads():
                send = send or _sender(store)
                send()
            loop.worked()
        except telemetry.ExportFailed as error:
            loop.failed(error, explained=True)
        except Exception as error:
            if is_away(error):
                loop.waited()
            else:
                loop.failed(error)


def _sender(store: Store) -> Callable[[], None]:
    """Return a function that sends all metrics once."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter, resource = OTLPMetricExporter(), telemetry.resource("dispatcher")
    folder = store.settings.data_dir / "spool"
    spool = Spool(folder, store.vault) if store.settings.spool and folder.is_dir() else None
    return lambda: _send(exporter, resource, Collector(store, spool).collect())


def _interval() -> float:
    """Return the seconds between two exports. OTEL_METRIC_EXPORT_INTERVAL is in milliseconds."""
    try:
        return max(_SHORTEST_SECONDS, int(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")) / 1000)
    except ValueError:
        return _SECONDS


def _send(exporter: Any, resource: Any, families: Iterable[Family]) -> None:
    """Send metrics. Raises ExportFailed."""
    from opentelemetry.sdk.metrics.export import (
        MetricExportResult,
        MetricsData,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    now = time.time_ns()
    found = [_metric(family, now) for family in families if family.samples]
    scope = ScopeMetrics(InstrumentationScope("cams-relay", __version__), found, "")
    if (
        exporter.export(MetricsData([ResourceMetrics(resource, [scope], "")]))
        is not MetricExportResult.SUCCESS
    ):
        raise telemetry.not_accepted("metrics")


def _metric(family: Family, now: int) -> Any:
    from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum

    # The counters are older than this process; 0 means that their beginning is unknown.
    points = [NumberDataPoint(dict(sample.labels), 0, now, float(sample.value)) for sample in family.samples]
    if isinstance(family, CounterMetricFamily):
        data: Any = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(points)
    return Metric(family.name, family.documentation, "", data)
