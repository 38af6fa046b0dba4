"""The spans of `tracing`, made with OpenTelemetry's SDK: imported only when tracing is on.

    POST /v1/redemptions            of a request; continues the caller's trace
      ledger.queue                  its wait for a batch, linked to that batch
      ledger.batch                  in the trace of its first traced member, linked to all of them
        ledger.read, ledger.decide, ledger.post

A thread of the SDK sends them. What waits for it is bounded: more is dropped and counted, as is
what the collector doesn't take (`kafang_spans_total`).
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from time import time_ns
from typing import Any, ParamSpec, TypeVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.kernel import metrics, tracing
from service.kernel.tracing import Trace

# A worker that is stopped has ten seconds in all.
STOP_S = 3.0
LINKS_MAX = 64
QUEUE_MAX, SENT_MAX = 2048, 512
DATABASE = {"db.system.name": "postgresql"}
PHASES = {"read": SpanKind.CLIENT, "decide": SpanKind.INTERNAL, "post": SpanKind.CLIENT}

P = ParamSpec("P")
T = TypeVar("T")


def _harmless(work: Callable[P, T]) -> Callable[P, T | None]:
    """A fault in tracing is no fault of the request."""

    @wraps(work)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T | None:
        with suppress(Exception):
            return work(*args, **kwargs)
        return None

    return guarded


class Request:
    """The recorded trace of one request."""

    __slots__ = ("code", "queued_ns", "reasons", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.queued_ns = 0
        self.code = ""
        self.reasons: tuple[str, ...] = ()

    @property
    def trace_id(self) -> str:
        """As logs and backends write it."""
        return f"{self.span.get_span_context().trace_id:032x}"

    def queued(self) -> None:
        """It waits for a batch from now on."""
        self.queued_ns = time_ns()

    def refused(self, code: str, reasons: tuple[str, ...]) -> None:
        """Its answer is a problem of this code, for reasons of these codes."""
        self.code = code
        self.reasons = reasons

    @_harmless
    def end(self, status: int, request_id: str, merchant_id: str | None) -> None:
        """It is answered."""
        facts: dict[str, Any] = {
            "http.response.status_code": status,
            "kafang.request_id": request_id,
        }
        if merchant_id:
            facts["kafang.merchant_id"] = merchant_id
        if self.code:
            facts["kafang.refusal_code"] = self.code
            facts["kafang.refusal_reasons"] = self.reasons
        if status >= 500:
            facts["error.type"] = self.code or str(status)
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.set_attributes(facts)
        self.span.end()


class Spans(tracing.Attempt):
    """The spans of one attempt at batches, by merchant."""

    def __init__(self, tracer: Any, spans: dict[str, Span]) -> None:
        self._tracer = tracer
        self._spans = spans
        self._since_ns = time_ns()

    @_harmless
    def did(self, phase: str) -> None:
        """A phase has ended; it began where the one before it ended."""
        now = time_ns()
        kind = PHASES[phase]
        for span in self._spans.values():
            child = self._tracer.start_span(
                f"ledger.{phase}",
                set_span_in_context(span, Context()),
                kind,
                DATABASE if kind is SpanKind.CLIENT else None,
                start_time=self._since_ns,
            )
            child.end(now)
        self._since_ns = now

    @_harmless
    def missed(self, merchant_id: str, misses: int) -> None:
        """So many commands are decided again."""
        if merchant_id in self._spans:
            self._spans[merchant_id].set_attribute("kafang.batch.misses", misses)

    @_harmless
    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        for span in self._spans.values():
            if error is not None:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", type(error).__name__)
            span.end()


class Telemetry:
    """What makes traces and has them sent."""

    def __init__(self, version: str) -> None:
        # A collector that is away: a line for each batch that was lost, none for each new try.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        self._exporter = _Counted(OTLPSpanExporter(), asyncio.get_running_loop())
        self._provider = TracerProvider(_sampler(), _resource(version), shutdown_on_exit=False)
        self._provider.add_span_processor(_Bounded(self._exporter))
        self._tracer = self._provider.get_tracer("kafang", version)
        self._continued = TraceContextTextMapPropagator()

    @_harmless
    def begin(
        self, method: str, path: str, name: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> Trace | None:
        """The trace of a request that begins; None when it isn't sampled."""
        parents = [value.decode("latin-1") for key, value in headers if key == b"traceparent"]
        carrier = {"traceparent": parents[0]} if len(parents) == 1 else {}
        span = self._tracer.start_span(
            f"{method} {path}",
            self._continued.extract(carrier, Context()),
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.route": path,
                "url.scheme": "http",
                "kafang.operation_id": name,
            },
        )
        return Request(span) if span.is_recording() else None

    def attempt(
        self, batches: Iterable[tuple[str, list[Trace | None]]], *, locked: bool, retry: int
    ) -> tracing.Attempt:
        """One attempt at batches: each its merchant and its members' traces."""
        spans: dict[str, Span] = {}
        for merchant_id, members in batches:
            traced = [trace for trace in members if isinstance(trace, Request)]
            if traced:
                facts = {
                    "kafang.merchant_id": merchant_id,
                    "kafang.batch.size": len(members),
                    "kafang.batch.traced": len(traced),
                    "kafang.batch.locked": locked,
                    "kafang.batch.retry": retry,
                }
                if span := self._batch(traced, facts):
                    spans[merchant_id] = span
        return Spans(self._tracer, spans) if spans else tracing.UNTRACED

    @_harmless
    def _batch(self, traced: list[Request], facts: dict[str, Any]) -> Span:
        span: Span = self._tracer.start_span(
            "ledger.batch",
            set_span_in_context(traced[0].span, Context()),
            attributes=facts,
            links=[Link(trace.span.get_span_context()) for trace in traced[:LINKS_MAX]],
        )
        now = time_ns()
        for trace in traced:
            if trace.queued_ns:
                waited = self._tracer.start_span(
                    "ledger.queue",
                    set_span_in_context(trace.span, Context()),
                    links=[Link(span.get_span_context())],
                    start_time=trace.queued_ns,
                )
                waited.end(now)
                trace.queued_ns = 0
        return span

    async def close(self) -> None:
        """Send what waits; a collector that doesn't answer is waited for STOP_S at most."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="tracing-stop", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await done.wait()


def _sampler() -> Sampler | None:
    """Ours where the environment names none; None: as it says."""
    if os.environ.get(tracing.SAMPLER):
        return None
    ratio = float(os.environ.get(tracing.SAMPLER_ARG) or tracing.DEFAULT_RATIO)
    return ParentBased(TraceIdRatioBased(ratio))


def _resource(version: str) -> Resource:
    """Who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    given = dict(Resource.create().attributes)
    if str(given.get("service.name", "")).startswith("unknown_service"):
        del given["service.name"]
    return Resource({"service.name": "kafang", "service.version": version, **given})


class _Counted(SpanExporter):
    """Counts what was sent and what was lost, in the loop's thread as all counting is."""

    def __init__(self, inner: SpanExporter, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop
        # Written by the sending thread only.
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            outcome = "sent" if result is SpanExportResult.SUCCESS else "lost"
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(metrics.count_spans, outcome, len(spans))
        return result

    def shutdown(self) -> None:
        """Try no more."""
        self._inner.shutdown()


class _Bounded(BatchSpanProcessor):
    """The SDK's queue, which drops the oldest unseen: here the newest, and counted."""

    def __init__(self, exporter: _Counted) -> None:
        self._queue_max = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or QUEUE_MAX)
        sent_max = int(os.environ.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or SENT_MAX)
        super().__init__(
            exporter,
            max_queue_size=self._queue_max,
            max_export_batch_size=min(sent_max, self._queue_max),
        )
        self._exporter = exporter
        # Written by the loop's thread only.
        self._given = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span, if there is room."""
        if self._given - self._exporter.taken >= self._queue_max:
            metrics.count_spans("dropped", 1)
            return
        self._given += 1
        super().on_end(span)
