"""Traces over OTLP: one for each event, from its callback to its deliveries.

They are only recorded if OTEL_EXPORTER_OTLP_ENDPOINT is set and the extra `otel` is installed. Otherwise, OpenTelemetry
isn't imported, and `TRACES.on` is false.

No context is stored: the IDs of an event's trace and of its first span are keyed digests of the event's ID. So each
process, and each later attempt, finds the trace again. Spans contain IDs of events, devices and subscriptions, the
callback's operation, and the targets' host names, but nothing else from callbacks.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app import __version__
from app.base.loops import LOOPS
from app.base.vault import Vault

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

log = logging.getLogger("relay.telemetry")

ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
INSTALL = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"  # the name cams-relay isn't ours yet
NOT_INSTALLED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the extra otel isn't installed, so nothing is sent. Install it: "
    f"{INSTALL}"
)
_MOST_LINKS = 20
_FLUSH_MS = 1_000


class ExportFailed(Exception):
    """The collector didn't accept what was sent."""


def wanted(signal: str) -> bool:
    """Return whether `traces` or `metrics` should be sent, according to OpenTelemetry's environment variables."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower() == "none":
        return False
    names = (ENDPOINTS[0], f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    return any(os.environ.get(name, "").strip() for name in names)


def is_installed() -> bool:
    """Return whether the extra `otel` is installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk  # noqa: F401
    except ImportError:
        return False
    return True


def resource(process: str) -> Any:
    """Return the OpenTelemetry resource of this process. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override it."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = {
        "service.name": "cams-relay",
        "service.version": __version__,
        "service.instance.id": f"{process}-{os.getpid()}",
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def silence() -> None:
    """Turn off OpenTelemetry's own log lines, because it logs every failed attempt. Our loops log failures."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)


class Traces:
    """The spans of one process."""

    def __init__(self) -> None:
        self.on = False
        self._vault: Vault
        self._provider: Any = None
        self._tracer: Any = None
        self._chosen = threading.local()  # the IDs of the next span

    def start(self, process: str, vault: Vault) -> None:
        """Start recording, if traces should be sent. Call this once in a process, after it was forked."""
        if not wanted("traces") or self.on:
            return
        if not is_installed():
            log.error("%s", NOT_INSTALLED)
            return
        try:
            self._start(process, vault)
        except Exception as error:  # the values of OpenTelemetry's variables are not ours to check
            log.error("traces can't be sent, because an OpenTelemetry variable is wrong: %s", error)

    def _start(self, process: str, vault: Vault) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        silence()
        self._vault = vault
        self._provider = TracerProvider(
            resource=resource(process), id_generator=_id_generator(self._chosen), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(_counted(OTLPSpanExporter())))
        self._tracer = self._provider.get_tracer("cams-relay", __version__)
        self.on = True

    def stop(self) -> None:
        """Send the remaining spans, but wait only briefly."""
        if self.on:
            self.on = False
            ending = threading.Thread(target=self._provider.shutdown, daemon=True)
            ending.start()
            ending.join(_FLUSH_MS / 1000)

    def received(
        self, device_id: str, event_ids: Sequence[str], received_at: datetime, operation: str
    ) -> None:
        """Record for each event that its callback was received and is now stored."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        for event_id in event_ids:
            trace = self._trace_of(event_id)
            self._chosen.ids = trace
            span = self._tracer.start_span(
                "callback",
                context=Context(),
                kind=SpanKind.SERVER,
                start_time=int(received_at.timestamp() * 1e9),
                attributes={
                    "cams_relay.event_id": event_id,
                    "cams_relay.device_id": device_id,
                    "cams_relay.operation": operation,
                },
            )
            span.end()

    def begin_delivery(
        self, event_ids: Sequence[str], subscription_id: str, target_url: str, attempt: int
    ) -> Span:
        """Begin the span of an attempt, in the trace of its first event, with links to others of a batch."""
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, set_span_in_context

        contexts = [self._context_of(event_id) for event_id in event_ids[: _MOST_LINKS + 1]]
        parent = set_span_in_context(NonRecordingSpan(contexts[0]), Context()) if contexts else Context()
        host = urlsplit(target_url).hostname or "unknown"
        span: Span = self._tracer.start_span(
            "delivery",
            context=parent,
            kind=SpanKind.CLIENT,
            links=[Link(context) for context in contexts[1:]],
            attributes={
                "cams_relay.subscription_id": subscription_id,
                "cams_relay.attempt": attempt,
                "cams_relay.events": len(event_ids),
                **({"cams_relay.event_id": event_ids[0]} if event_ids else {}),
                "http.request.method": "POST",
                "server.address": host,
            },
        )
        return span

    def _trace_of(self, event_id: str) -> tuple[int, int]:
        """Return the IDs of an event's trace and of its first span."""
        trace = self._vault.digest("trace", event_id)
        return int(trace, 16), int(trace[:16], 16)

    def _context_of(self, event_id: str) -> SpanContext:
        from opentelemetry.trace import SpanContext, TraceFlags

        trace_id, span_id = self._trace_of(event_id)
        decision = self._provider.sampler.should_sample(None, trace_id, "callback").decision
        flags = TraceFlags(TraceFlags.SAMPLED if decision.is_sampled() else TraceFlags.DEFAULT)
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


def traceparent(span: Span) -> str:
    """Return the header line with which a target can continue the trace (W3C Trace Context)."""
    context = span.get_span_context()
    return f"traceparent: 00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def end_delivery(span: Span, status: int, error: str | None) -> None:
    """End the span of an attempt. `status` is 0 if there was no answer."""
    from opentelemetry.trace import StatusCode

    if status:
        span.set_attribute("http.response.status_code", status)
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
    span.end()


def _id_generator(chosen: threading.local) -> Any:
    """Return an ID generator that uses the IDs in `chosen` for the next span, if there are any."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Generator(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            ids = getattr(chosen, "ids", None)
            return super().generate_trace_id() if ids is None else int(ids[0])

        def generate_span_id(self) -> int:
            ids, chosen.ids = getattr(chosen, "ids", None), None
            return super().generate_span_id() if ids is None else int(ids[1])

    return Generator()


def _counted(exporter: Any) -> Any:
    """Return an exporter whose failures are counted and shown in `/health`, like those of every background loop."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    loop = LOOPS.get("traces")

    class Counted(SpanExporter):
        def export(self, spans: Any) -> Any:
            result = exporter.export(spans)
            if result is SpanExportResult.SUCCESS:
                loop.worked()
            else:
                loop.failed(not_accepted("traces"), explained=True)
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return bool(exporter.force_flush(timeout_millis))

    return Counted()


def not_accepted(signal: str) -> ExportFailed:
    """Return the error for the log if `traces` or `metrics` could not be sent."""
    return ExportFailed(
        f"the collector at OTEL_EXPORTER_OTLP_ENDPOINT can't be reached or doesn't accept {signal}; "
        "these are lost, but events aren't"
    )


TRACES = Traces()
"""The spans of this process."""
