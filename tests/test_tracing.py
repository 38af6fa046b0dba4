"""OpenTelemetry, on and off: what a redemption's trace holds, and that no request pays for it."""

import asyncio
import json
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from service.kernel import tracing
from service.kernel.tracing import TracingError
from tests.api import shop
from tests.harness import collector as collectors
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.collector import Collector, Span
from tests.harness.server import ROOT, Server
from tests.harness.tenant import Tenant, TestCard
from tests.kernel import cups

PATIENCE_S = 20.0
SERVER, CLIENT, INTERNAL = 2, 3, 1
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture(scope="module", name="collector")
def _collector() -> Iterator[Collector]:
    with collectors.running() as running:
        yield running


@pytest.fixture(scope="module", name="traced")
def _traced(collector: Collector) -> Iterator[Server]:
    with servers.running({**collector.settings, "KAFANG_WORKERS": "1"}) as server:
        yield server


@pytest.fixture(name="merchant")
async def _merchant(traced: Server) -> Tenant:
    return await shop_of(traced)


@pytest.fixture(name="office")
async def _office(traced: Server, merchant: Tenant) -> AsyncIterator[Client]:
    async with Client(traced.host, traced.port, merchant.merchant_key) as client:
        yield client


async def shop_of(server: Server) -> Tenant:
    """A merchant with one store."""
    return await tenants.make(
        server.postgres.app_dsn, lambda token: Client(server.host, server.port, token)
    )


async def until(reached: Callable[[], Any], what: str) -> Any:
    """Poll a condition with a deadline; what it found."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := reached()):
        assert time.monotonic() < deadline, f"never came: {what}"
        await asyncio.sleep(0.02)
    return found


async def sell(
    client: Client, card: TestCard, parent: str, value: int = 100, **more: Any
) -> tuple[int, dict[str, str]]:
    """A redemption whose caller is in a trace."""
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": shop.new_key(),
        "traceparent": parent,
        "tracestate": "vendor=canary-state",
        "baggage": "who=canary-baggage",
    }
    body = json.dumps(shop.sale(card, value, **more)).encode()
    answer = await client.request("POST", "/v1/redemptions", body, headers)
    return answer.status, answer.headers


def parent_of(trace_id: str, span_id: str = "00f067aa0ba902b7", flags: str = "01") -> str:
    return f"00-{trace_id}-{span_id}-{flags}"


async def test_a_redemption_is_told_from_the_till_to_the_commit(
    collector: Collector, merchant: Tenant, office: Client
) -> None:
    card = await shop.funded(office, merchant, 10_000)
    trace_id = secrets.token_hex(16)
    status, headers = await sell(office, card, parent_of(trace_id), store_id=merchant.store_ids[0])
    assert status == 201
    spans = await until(
        lambda: len(found := collector.of_trace(trace_id)) == 6 and found, "all six spans"
    )
    request, queue, batch = (
        spans["POST /v1/redemptions"], spans["ledger.queue"], spans["ledger.batch"],
    )  # fmt: skip
    assert (request.parent_id, request.kind, request.failed) == ("00f067aa0ba902b7", SERVER, False)
    assert request.facts == {
        "http.request.method": "POST",
        "http.route": "/v1/redemptions",
        "url.scheme": "http",
        "http.response.status_code": 201,
        "kafang.operation_id": "create_redemption",
        "kafang.request_id": headers["x-request-id"],
        "kafang.merchant_id": merchant.merchant_id,
    }
    assert request.resource["service.name"] == "kafang"
    assert (queue.parent_id, queue.links) == (request.span_id, [batch.span_id])
    assert (batch.parent_id, batch.links) == (request.span_id, [request.span_id])
    assert batch.facts == {
        "kafang.merchant_id": merchant.merchant_id,
        "kafang.batch.size": 1,
        "kafang.batch.traced": 1,
        "kafang.batch.locked": False,
        "kafang.batch.retry": 0,
    }
    phases = [spans[f"ledger.{phase}"] for phase in ("read", "decide", "post")]
    assert [phase.parent_id for phase in phases] == [batch.span_id] * 3
    assert [phase.kind for phase in phases] == [CLIENT, INTERNAL, CLIENT]
    assert phases[0].facts == {"db.system.name": "postgresql"}
    times = [t for phase in phases for t in (phase.started_ns, phase.ended_ns)]
    assert times == sorted(times)
    assert request.started_ns <= queue.started_ns <= queue.ended_ns <= batch.ended_ns
    assert "canary" not in repr(collector.raw)


async def test_requests_of_one_batch_are_linked_to_it(
    collector: Collector, merchant: Tenant, traced: Server, office: Client
) -> None:
    """The batch is in the trace of its first request; the others lead to it by their wait."""
    card = await shop.funded(office, merchant, 10_000)
    clients = [Client(traced.host, traced.port, merchant.merchant_key) for _ in range(12)]
    store: dict[str, Any] = {"store_id": merchant.store_ids[0]}

    def shared() -> list[Span]:
        return [span for span in list(collector.spans) if len(span.links) > 1]

    for _ in range(50):
        ids = [secrets.token_hex(16) for _ in clients]
        sales = (sell(c, card, parent_of(i), 1, **store) for c, i in zip(clients, ids, strict=True))
        assert {status for status, _ in await asyncio.gather(*sales)} == {201}
        if shared():
            break
    for client in clients:
        client.drop()
    [batch, *_] = await until(shared, "a batch of several")
    assert batch.name == "ledger.batch"
    assert batch.facts["kafang.batch.traced"] == len(batch.links)
    by_id = await until(
        lambda: (
            set(batch.links) <= (found := {s.span_id: s for s in list(collector.spans)}).keys()
            and found
        ),
        "the requests' spans",
    )
    assert {by_id[link].name for link in batch.links} == {"POST /v1/redemptions"}
    waits = [s for s in list(collector.spans) if s.links == [batch.span_id]]
    assert {wait.parent_id for wait in waits} == set(batch.links)


async def test_a_refusal_and_a_fault_say_why(
    collector: Collector, merchant: Tenant, office: Client
) -> None:
    card = await shop.funded(office, merchant, 10)
    store: dict[str, Any] = {"store_id": merchant.store_ids[0]}
    refused, malformed = secrets.token_hex(16), secrets.token_hex(16)
    assert (await sell(office, card, parent_of(refused), **store))[0] == 409
    assert (await sell(office, card, parent_of(malformed), -1, **store))[0] == 400
    name = "POST /v1/redemptions"
    await until(
        lambda: name in collector.of_trace(refused) and name in collector.of_trace(malformed),
        "both",
    )
    told = [collector.of_trace(trace_id)[name] for trace_id in (refused, malformed)]
    names = ("http.response.status_code", "kafang.refusal_code", "kafang.refusal_reasons")
    assert [tuple(span.facts[name] for name in names) for span in told] == [
        (409, "redemption_refused", ["insufficient_balance"]),
        (400, "invalid_request", ["invalid_value"]),
    ]
    assert not any(span.failed for span in told), "a refusal is no fault of the server"


async def test_who_is_not_sampled_leaves_nothing(
    collector: Collector, merchant: Tenant, office: Client
) -> None:
    card = await shop.funded(office, merchant, 10_000)
    store: dict[str, Any] = {"store_id": merchant.store_ids[0]}
    not_sampled, after = secrets.token_hex(16), secrets.token_hex(16)
    assert (await sell(office, card, parent_of(not_sampled, flags="00"), **store))[0] == 201
    for odd in ("", "00-x", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "canary" * 100):
        assert (await sell(office, card, odd, 1, **store))[0] == 201
    assert (await sell(office, card, parent_of(after), **store))[0] == 201
    await until(lambda: len(collector.of_trace(after)) == 6, "the later one")
    assert not collector.of_trace(not_sampled)
    assert "canary" not in repr(collector.raw)


async def test_the_logged_request_leads_to_its_trace(
    traced: Server, collector: Collector, merchant: Tenant, office: Client
) -> None:
    """A line is written for a fault: here the database is away for a moment."""
    card = await shop.funded(office, merchant, 100)
    trace_id = secrets.token_hex(16)
    owner = await shop_owner(traced)
    try:
        await owner.execute("alter table card rename column card_number to number")
        status, _ = await sell(office, card, parent_of(trace_id), store_id=merchant.store_ids[0])
        await owner.execute("alter table card rename column number to card_number")
    finally:
        await owner.close()
    assert status == 500
    spans = await until(
        lambda: "POST /v1/redemptions" in (found := collector.of_trace(trace_id)) and found, "it"
    )
    request, batch = spans["POST /v1/redemptions"], spans["ledger.batch"]
    assert (request.failed, request.facts["error.type"]) == (True, "internal_error")
    assert (batch.failed, batch.facts["error.type"]) == (True, "UndefinedColumnError")
    line = re.search(rf".*{trace_id}.*", traced.log.read_text("utf-8"))
    assert line is not None
    assert json.loads(line[0])["request_id"] == request.facts["kafang.request_id"]


async def shop_owner(server: Server) -> Any:
    """Who may change the tables."""
    return await asyncpg.connect(server.postgres.admin_dsn.replace("/postgres?", "/kafang?"))


async def answered(server: Server, sales: int = 30) -> None:
    """Sell, each sale in a trace, and all go through."""
    merchant = await shop_of(server)
    async with Client(server.host, server.port, merchant.merchant_key) as office:
        card = await shop.funded(office, merchant, 10_000)
        for _ in range(sales):
            parent = parent_of(secrets.token_hex(16))
            assert (await sell(office, card, parent, 1, store_id=merchant.store_ids[0]))[0] == 201


async def counted(server: Server, outcome: str) -> float:
    """How many spans became of that."""
    async with Client(server.host, server.port) as client:
        text = (await client.get("/metrics")).body.decode()
    return sum(
        float(line.split(" ")[1])
        for line in text.splitlines()
        if line.startswith(f'kafang_spans_total{{outcome="{outcome}"')
    )


async def test_a_collector_that_is_away_costs_nobody_an_answer() -> None:
    """Nothing listens, or somebody takes the line and never answers: sales go on, it stops."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        for port in (9, mute.getsockname()[1]):
            settings = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "OTEL_BSP_MAX_QUEUE_SIZE": "40",
                "OTEL_BSP_SCHEDULE_DELAY": "50",
                "KAFANG_WORKERS": "1",
            }
            with servers.running(settings) as server:
                await answered(server)
                assert await counted(server, "dropped") > 0
                assert await counted(server, "sent") == 0
                started = time.monotonic()
                assert servers.stop(server) == 0
                assert time.monotonic() - started < 15
                assert "refused to gracefully stop" not in server.log.read_text("utf-8")


async def test_what_waits_is_sent_at_the_end() -> None:
    with collectors.running() as collector:
        slow = {**collector.settings, "OTEL_BSP_SCHEDULE_DELAY": "60000", "KAFANG_WORKERS": "1"}
        with servers.running(slow) as server:
            await answered(server, 3)
            assert not collector.spans
            servers.stop(server)
            assert len([s for s in collector.spans if s.name == "POST /v1/redemptions"]) == 3


async def test_a_fault_in_tracing_is_no_fault_of_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        def start_span(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("no span today")

    for name, value in ENDPOINT.items():
        monkeypatch.setenv(name, value)
    tracing.start("0")
    try:
        source: Any = tracing.source
        async with cups.cup_client() as client:
            assert (await cups.post(client, traceparent=parent_of("1" * 32))).status_code == 201
            whole = source.begin(
                "POST", "/x", "x", [(b"traceparent", parent_of("1" * 32).encode())]
            )
            monkeypatch.setattr(source, "_tracer", Broken())
            assert (await cups.post(client, traceparent=parent_of("1" * 32))).status_code == 201
        with source.attempt([("mer_1", [whole])], locked=False, retry=0) as attempt:
            attempt.did("read")
        assert attempt is tracing.UNTRACED
    finally:
        await tracing.stop()


OFF = """
import asyncio, sys
from service import app, runner
from service.kernel import tracing
async def start():
    tracing.start("0")
tracing.check()
asyncio.run(start())
assert tracing.source is None or {on}
sys.exit("opentelemetry" in sys.modules)
"""


@pytest.mark.parametrize(
    ("environment", "imported"),
    [
        ({}, 0),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, 0),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, 0),
        (ENDPOINT, 1),
    ],
)
def test_off_the_library_is_not_imported(environment: dict[str, str], imported: int) -> None:
    program = OFF.format(on=bool(imported))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=False)
    assert done.returncode == imported


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: not a"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "is https, or OTEL_EXPORTER_OT"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({**ENDPOINT, "OTEL_TRACES_SAMPLER": "some"}, "OTEL_TRACES_SAMPLER: not one"),
        ({**ENDPOINT, "OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG"),
        ({**ENDPOINT, "OTEL_BSP_MAX_QUEUE_SIZE": "x"}, "OTEL_BSP_MAX_QUEUE_SIZE"),
    ],
)
def test_what_can_not_be_had_is_refused_at_the_start(
    environment: dict[str, str], named: str
) -> None:
    with pytest.raises(TracingError, match=named):
        tracing.check(environment)


def test_a_missing_extra_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing.check(ENDPOINT)
    monkeypatch.setattr(tracing, "find_spec", lambda _name: None)
    with pytest.raises(TracingError, match=r"install kafang\[otel\]"):
        tracing.check(ENDPOINT)
    tracing.check({})


async def test_one_in_a_hundred_is_recorded_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def recorded(requests: int = 3_000) -> int:
        tracing.start("0")
        try:
            source: Any = tracing.source
            return sum(source.begin("GET", "/x", "x", []) is not None for _ in range(requests))
        finally:
            await tracing.stop()

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT["OTEL_EXPORTER_OTLP_ENDPOINT"])
    assert 5 < await recorded() < 80
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    assert 1_200 < await recorded() < 1_800
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    assert await recorded(100) == 100
