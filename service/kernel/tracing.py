"""OpenTelemetry, when it is asked for: a span for each request, and for each batch it went through.

On when OTEL_EXPORTER_OTLP_ENDPOINT (or that of traces alone) is set; the standard variables say the
rest. Off, `source` is None: that is all a request looks at, and nothing of the library is imported.

A span holds names and ids of ours: no path, header, body, card number or error text. Of a client's
headers its trace goes on (`traceparent`), `tracestate` and baggage do not: they are free text.
Tracing never fails a request: what goes wrong in it is left out of the trace.
"""

import math
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import urlsplit

from service.kernel.address import is_near

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
INSECURE = "OTEL_EXPORTER_OTLP_INSECURE"
SAMPLER, SAMPLER_ARG = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
WHOLE_NUMBERS = ("OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
# One request in a hundred, and every one whose caller traces it.
DEFAULT_SAMPLER, DEFAULT_RATIO = "parentbased_traceidratio", 0.01
_PLAIN_SAMPLERS = ("always_on", "always_off", "traceidratio")
SAMPLERS = (*_PLAIN_SAMPLERS, *(f"parentbased_{name}" for name in _PLAIN_SAMPLERS))


class TracingError(ValueError):
    """Tracing is asked for in a way that can't be had; the message names the variable."""


class Trace(Protocol):
    """The recorded trace of one request."""

    @property
    def trace_id(self) -> str:
        """As logs and backends write it: 32 hexadecimal digits."""

    def queued(self) -> None:
        """It waits for a batch from now on."""

    def refused(self, code: str, reasons: tuple[str, ...]) -> None:
        """Its answer is a problem of this code, for reasons of these codes."""

    def end(self, status: int, request_id: str, merchant_id: str | None) -> None:
        """It is answered."""


class Attempt:
    """One attempt at some merchants' batches; without spans where nobody traces."""

    def __enter__(self) -> "Attempt":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """It has ended, well or by an error."""

    def did(self, phase: str) -> None:
        """A phase has ended: read, decide or post; the next one begins."""

    def missed(self, merchant_id: str, misses: int) -> None:
        """So many of a merchant's commands met newer state and are decided again."""


class Source(Protocol):
    """What makes traces while tracing is on."""

    def begin(self, method: str, path: str, name: str, headers: Any) -> Trace | None:
        """The trace of a request that begins; None when it isn't sampled."""

    def attempt(
        self, batches: Iterable[tuple[str, list[Trace | None]]], *, locked: bool, retry: int
    ) -> Attempt:
        """One attempt at batches: each its merchant and its members' traces."""

    async def close(self) -> None:
        """Send what waits, within a bound."""


source: Source | None = None
UNTRACED = Attempt()


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for tracing."""
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    none = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return any(environment.get(name) for name in ENDPOINTS) and not off and not none


def check(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse at the start what would end in no traces. Raises TracingError."""
    if not is_wanted(environment):
        return
    name = next(name for name in ENDPOINTS if environment.get(name))
    if not environment[name].startswith(("http://", "https://")):
        raise TracingError(f"{name}: not a URL as https://collector:4318")
    url, may_be_plain = urlsplit(environment[name]), environment.get(INSECURE, "").strip().lower()
    if url.scheme == "http" and not is_near(url.hostname or "") and may_be_plain != "true":
        raise TracingError(
            f"{name}: a line to another host is https, or {INSECURE}=true where nobody else "
            "reaches it"
        )
    for name in PROTOCOLS:
        if environment.get(name, PROTOCOL) not in ("", PROTOCOL):
            raise TracingError(f"{name}: only {PROTOCOL} is spoken")
    for name in WHOLE_NUMBERS:
        if not environment.get(name, "1").strip().isdigit():
            raise TracingError(f"{name}: not a whole number")
    _check_sampler(environment)
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http")
        found = found and find_spec("opentelemetry.sdk.trace")
    except ImportError:
        found = None
    if not found:
        raise TracingError(
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for tracing, which is not installed: "
            "install kafang[otel] (requirements.otel.lock), or unset the variable"
        )


def _check_sampler(environment: Mapping[str, str]) -> None:
    name, argument = environment.get(SAMPLER) or DEFAULT_SAMPLER, environment.get(SAMPLER_ARG)
    if name.lower() not in SAMPLERS:
        raise TracingError(f"{SAMPLER}: not one of {', '.join(SAMPLERS)}")
    if argument and name.lower().endswith("ratio"):
        try:
            ratio = float(argument)
        except ValueError:
            ratio = math.nan
        if not 0 <= ratio <= 1:
            raise TracingError(f"{SAMPLER_ARG}: not a number from 0 to 1")


def start(version: str) -> None:
    """Trace this process's requests, if the environment asks for it. Raises TracingError."""
    global source
    check()
    if is_wanted():
        from service.kernel import tracing_otel  # only now: off, the library is not imported

        source = tracing_otel.Telemetry(version)


async def stop() -> None:
    """Send what waits, within a bound, and trace no more."""
    global source
    if source is not None:
        stopping, source = source, None
        await stopping.close()
