"""The metrics of `/metrics` about the web process that responds: its connections and its event loop's delays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.limits.connections import Connections

Family = CounterMetricFamily | GaugeMetricFamily


class ProcessCollector(Collector):
    """Collect the metrics for each scrape. The label `process` is the process ID."""

    def __init__(self, extensions: dict[str, Any]) -> None:
        self._connections: Connections = extensions["connections"]
        self._guard = extensions.get("loop_guard")  # None if the app doesn't run in the relay's own server

    def collect(self) -> Iterator[Family]:
        connections, memory = self._connections, self._connections.memory
        yield _gauge("connections", "Open connections of the web process", len(connections))
        yield _gauge(
            "body_memory_bytes",
            "Memory used by request bodies that are not authenticated yet, in bytes",
            memory.used,
        )
        yield _counter("connections_closed", "Connections closed to make room for others", connections.closed)
        yield _counter("requests_late", "Requests closed because they arrived too slowly", connections.late)
        yield _counter(
            "requests_without_room", "Requests refused because of too many connections", connections.refused
        )
        yield _counter(
            "bodies_given_up",
            "Request bodies refused because of too little memory",
            memory.given_up + connections.vouched.given_up,
        )
        if self._guard is not None:
            yield _gauge(
                "event_loop_longest_hold_seconds",
                "Longest time that the event loop was blocked since the process started, in seconds",
                self._guard.longest,
            )
            yield _counter(
                "event_loop_holds",
                "Number of times that the event loop was blocked for more than 250 ms",
                self._guard.holds,
            )


def _gauge(name: str, text: str, value: float) -> Family:
    made = GaugeMetricFamily(f"cams_relay_{name}", text, labels=["process"])
    made.add_metric([str(os.getpid())], value)
    return made


def _counter(name: str, text: str, value: float) -> Family:
    made = CounterMetricFamily(f"cams_relay_{name}", text, labels=["process"])
    made.add_metric([str(os.getpid())], value)
    return made
