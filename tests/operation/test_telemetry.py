"""Traces and metrics go to a collector by OTLP. The collector is a stand-in that decodes what it gets."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.base.telemetry import Traces
from app.base.vault import Vault
from tests.harness import Receiver, Relay, free_port, wait_for

# Export often, so that tests don't have to wait.
FAST = {
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
}


class Collector:
    """An OTLP collector that stores all `spans`, `metrics` by name, and all received `bytes`."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.services: set[str] = set()
        self.bytes = b""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.bytes += body
                if self.path == "/v1/traces":
                    outer.take_traces(ExportTraceServiceRequest.FromString(body))
                else:
                    assert self.path == "/v1/metrics"
                    outer.take_metrics(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take_traces(self, request: ExportTraceServiceRequest) -> None:
        for group in request.resource_spans:
            self.services |= {
                one.value.string_value for one in group.resource.attributes if one.key == "service.name"
            }
            for scope in group.scope_spans:
                self.spans += scope.spans

    def take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        for group in request.resource_metrics:
            for scope in group.scope_metrics:
                self.metrics |= {one.name: one for one in scope.metrics}

    def named(self, name: str, event_id: str) -> list[Any]:
        """The spans of an event with this name, in order of their start."""
        found = [
            span
            for span in self.spans
            if span.name == name and fields(span)["cams_relay.event_id"] == event_id
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def fields(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_one_trace_leads_from_a_callback_to_each_attempt(tmp_path: Path, collector: Collector) -> None:
    target = Receiver()
    target.answer = lambda _: (500 if len(target.received) == 1 else 200, {}, b"")
    environment = {
        **FAST,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        "RELAY_RETRY_SCHEDULE": "0.2,0.2",
    }
    with Relay(tmp_path, **environment) as relay:
        device = relay.device()
        made = relay.subscribe(target, device, target_url=f"{target.url}?key=made-up-secret")
        device.send_done(device.punch("70001"))
        first, second = target.wait(2)
        event_id = second.headers["webhook-id"]
        wait_for(lambda: len(collector.named("delivery", event_id)) == 2, 60)
        wait_for(lambda: collector.named("callback", event_id), 60)
    (callback,) = collector.named("callback", event_id)
    attempts = collector.named("delivery", event_id)
    assert {span.trace_id for span in attempts} == {callback.trace_id} and not callback.parent_span_id
    assert {span.parent_span_id for span in attempts} == {callback.span_id}
    assert len({callback.span_id, *(span.span_id for span in attempts)}) == 3
    assert fields(callback)["cams_relay.device_id"] == device.id
    assert callback.start_time_unix_nano <= callback.end_time_unix_nano <= attempts[0].end_time_unix_nano
    attributes = [fields(span) for span in attempts]
    assert [one["cams_relay.attempt"] for one in attributes] == [1, 2]
    assert [one["http.response.status_code"] for one in attributes] == [500, 200]
    assert attributes[0]["error.type"] == "500" and "error.type" not in attributes[1]
    assert (
        attributes[0]["cams_relay.subscription_id"] == made["id"]
        and attributes[0]["server.address"] == "127.0.0.1"
    )
    for call, span in zip((first, second), attempts, strict=True):
        version, trace, parent, flags = call.headers["traceparent"].split("-")
        assert (version, trace, parent) == ("00", span.trace_id.hex(), span.span_id.hex())
        assert int(flags, 16) & 1
    assert collector.services == {"cams-relay"}
    for secret in (device.token, "made-up-secret", "70001"):
        assert secret.encode() not in collector.bytes


def test_a_subscriptions_own_traceparent_is_the_only_one(tmp_path: Path, collector: Collector) -> None:
    target, own = Receiver(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with Relay(tmp_path, **FAST, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as relay:
        device = relay.device()
        relay.subscribe(target, device, headers={"TraceParent": own})
        device.send_done(device.punch("70001"))
        (got,) = target.wait(1)
        event_id = got.headers["webhook-id"]
        wait_for(lambda: collector.named("delivery", event_id), 60)
    assert got.headers["traceparent"] == own  # if a header is sent twice, the receiver keeps the last one


def test_the_spans_of_a_batch_link_to_all_its_events(tmp_path: Path, collector: Collector) -> None:
    target = Receiver()
    with Relay(tmp_path, **FAST, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as relay:
        device = relay.device()
        relay.subscribe(target, device, batch_max=3, batch_wait_ms=2_000)
        for number in range(3):
            device.send_done(device.punch(f"7000{number}"))
        target.wait(1)
        wait_for(lambda: [span for span in collector.spans if span.name == "delivery"], 60)
        wait_for(lambda: sum(span.name == "callback" for span in collector.spans) == 3, 60)
        events = [event["id"] for event in relay.events()]
    (delivery,) = [span for span in collector.spans if span.name == "delivery"]
    callbacks = {event: collector.named("callback", event)[0] for event in events}
    first = callbacks.pop(fields(delivery)["cams_relay.event_id"])
    assert delivery.parent_span_id == first.span_id
    assert {link.span_id for link in delivery.links} == {span.span_id for span in callbacks.values()}


def test_metrics_are_the_same_as_those_of_the_api(tmp_path: Path, collector: Collector) -> None:
    with Relay(tmp_path, **FAST, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as relay:
        device = relay.device()
        device.send_done(device.punch())

        def callbacks() -> list[Any]:
            found = collector.metrics.get("cams_relay_device_callbacks")
            return [] if found is None else list(found.sum.data_points)

        wait_for(lambda: [point for point in callbacks() if point.as_double == 1], 60)
        text = relay.call("GET", "/metrics").text
    shown = {
        name.removesuffix("_total") for name in re.findall(r"^(cams_relay_\w+?)(?:\{| )", text, re.MULTILINE)
    }
    sent = set(collector.metrics)
    assert sent <= shown and {"cams_relay_store_up", "cams_relay_disk_free_ratio"} <= sent
    assert collector.metrics["cams_relay_device_callbacks"].sum.is_monotonic
    (up,) = collector.metrics["cams_relay_store_up"].gauge.data_points
    assert up.as_double == 1


def test_an_absent_collector_costs_no_event_and_is_reported(tmp_path: Path) -> None:
    target = Receiver()
    nowhere = f"http://127.0.0.1:{free_port()}"
    with Relay(tmp_path, **FAST, OTEL_EXPORTER_OTLP_ENDPOINT=nowhere) as relay:
        device = relay.device()
        relay.subscribe(target, device)

        def problems() -> list[str]:
            return [one for one in relay.get("/health")["problems"] if "loop traces" in one]

        def send_and_look() -> bool:
            device.send_done(device.punch())
            return bool(problems())

        wait_for(send_and_look, 120, every=0.5)
        assert relay.call("GET", "/health").status_code == 200
        count = len(relay.events())
        target.wait(count)
        counted = 'cams_relay_loop_failures_total{loop="traces"}'
        wait_for(lambda: counted in relay.call("GET", "/metrics").text, 60, every=0.5)
        log = (relay.folder / "web.log").read_text()
        assert log.count("doesn't accept traces") == 1 and "Traceback" not in log


def test_without_the_variable_no_exporter_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, app.web.application, workers.dispatcher\n"
        "from app.base.telemetry import TRACES\n"
        "TRACES.start('test', None)\n"
        "assert not TRACES.on and not [name for name in sys.modules if name.startswith('opentelemetry.exporter')]\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True, timeout=60)


def test_without_the_extra_the_relay_runs_and_doctor_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.health.checks import settings_warnings
    from app.settings.table import load

    monkeypatch.setattr("app.base.telemetry.is_installed", lambda: False)
    settings = load({"RELAY_DATA_DIR": str(tmp_path)})
    assert not [one for one in settings_warnings(settings) if "otel" in one]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    (warning,) = [one for one in settings_warnings(settings) if "otel" in one]
    assert "pip install opentelemetry-sdk" in warning
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not [one for one in settings_warnings(settings) if "otel" in one]


def test_a_wrong_variable_of_opentelemetry_stops_no_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    traces = Traces()
    traces.start("test", Vault("made-up-secret-key-of-32-characters"))
    assert not traces.on and "an OpenTelemetry variable is wrong" in caplog.text
    traces.stop()
