"""A collector of OpenTelemetry's traces on loopback: takes OTLP over HTTP and keeps what came."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Span(Struct, frozen=True):
    """A span as it arrived; ids in hexadecimal digits, `links` are the ids of spans."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    started_ns: int
    ended_ns: int
    failed: bool
    facts: dict[str, Any]
    links: list[str]
    resource: dict[str, Any]


class Collector:
    """What has arrived, and the bytes it came as."""

    def __init__(self) -> None:
        self.port = 0
        self.spans: list[Span] = []
        self.raw: list[bytes] = []
        # What is answered instead of 200, if anything.
        self.status = 200

    @property
    def settings(self) -> dict[str, str]:
        """The environment of a service that sends here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def take(self, body: bytes) -> None:
        """Keep what a request brought."""
        self.raw.append(body)
        for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _facts(batch.resource.attributes)
            for scope in batch.scope_spans:
                self.spans += (_span(span, resource) for span in scope.spans)

    def of_trace(self, trace_id: str) -> dict[str, Span]:
        """The spans of a trace by name; of several with one name the last."""
        return {span.name: span for span in list(self.spans) if span.trace_id == trace_id}


def _span(span: Any, resource: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        failed=span.status.code == 2,
        facts=_facts(span.attributes),
        links=[link.span_id.hex() for link in span.links],
        resource=resource,
    )


def _facts(attributes: Any) -> dict[str, Any]:
    return {fact.key: _value(fact.value) for fact in attributes}


def _value(value: Any) -> Any:
    found = getattr(value, value.WhichOneof("value"))
    return list(map(_value, found.values)) if value.HasField("array_value") else found


@contextmanager
def running() -> Iterator[Collector]:
    """A collector, listening while the caller needs it."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if collector.status == 200 and self.path == "/v1/traces":
                collector.take(body)
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        collector.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            listening.shutdown()
            thread.join()
