"""The story of a report: one snapshot, an instant or a period of the past, lines that add up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg

from schemas.reports import Flow, Liability, LiabilityLine, Movement, MovementList, SettlementList
from service.kernel.http import Answer, Call, json_answer
from service.kernel.problems import (
    INVALID_REQUEST,
    UNAVAILABLE,
    ProblemError,
    because,
    define_reason,
)
from service.ledger.reading import Reading, reading
from service.reports import store
from service.reports.store import FlowOf

# How long a report waits for the one before it.
PATIENCE_S = 5.0
# The period of a report that names none.
PERIOD = timedelta(days=1)
# No ledger is older, and dates near the first year can't be reckoned with in every time zone.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
INSTANT_OUT_OF_RANGE = define_reason(
    "instant_out_of_range", "Name an instant that has passed, from the year 2000 on."
)
PERIOD_BACKWARDS = define_reason("period_backwards", "The opening must come before the closing.")

_Line = tuple[str, str, str, str]


async def liability(call: Call, _: None) -> Answer:
    """What was owed at an instant."""
    by, as_of = call.query.by, call.query.as_of
    async with _reporting(call) as tenant:
        as_of = _past(as_of or tenant.now, tenant.now, "as_of")
        lines = await store.liability(tenant, by, as_of)
    return json_answer(200, Liability(as_of, by, lines))


async def movements(call: Call, _: None) -> Answer:
    """How what is owed moved in a period."""
    by = call.query.by
    async with _reporting(call) as tenant:
        opening_at, closing_at = _period(call, tenant.now)
        opening = await store.liability(tenant, by, opening_at)
        moved = await store.flows(tenant, by, opening_at, closing_at)
        closing = await store.liability(tenant, by, closing_at)
    data = rolled_forward(opening, moved, closing)
    return json_answer(200, MovementList(opening_at, closing_at, by, data))


async def settlements(call: Call, _: None) -> Answer:
    """What was sold and used in a period, by both stores."""
    async with _reporting(call) as tenant:
        opening_at, closing_at = _period(call, tenant.now)
        found = await store.settlements(tenant, opening_at, closing_at)
    return json_answer(200, SettlementList(opening_at, closing_at, found))


def rolled_forward(
    opening: list[LiabilityLine], moved: list[FlowOf], closing: list[LiabilityLine]
) -> list[Movement]:
    """A movement for each line that was there, moved, or is there."""
    lines: dict[_Line, Movement] = {}

    def line(of: LiabilityLine | FlowOf) -> Movement:
        key = (of.template_id or "", of.store_id or "", of.account, of.currency)
        fresh = Movement(of.account, of.currency, of.template_id, of.store_id, 0, [], 0)
        return lines.setdefault(key, fresh)

    for balance in opening:
        line(balance).opening = balance.value
    for flow in moved:
        line(flow).flows.append(Flow(flow.kind, flow.operations, flow.value_in, flow.value_out))
    for balance in closing:
        line(balance).closing = balance.value
    return [lines[key] for key in sorted(lines)]


@asynccontextmanager
async def _reporting(call: Call) -> AsyncIterator[Reading]:
    """A snapshot for one report of a worker at a time: tills share the readers with reports."""
    turn = call.state.reporting
    try:
        await asyncio.wait_for(turn.acquire(), PATIENCE_S)
    except TimeoutError:
        raise ProblemError(UNAVAILABLE, "Other reports are being made; ask again.") from None
    try:
        async with reading(call) as tenant:
            yield tenant
    except asyncpg.QueryCanceledError:
        raise ProblemError(UNAVAILABLE, "The report took too long; ask again later.") from None
    finally:
        turn.release()


def _period(call: Call, now: datetime) -> tuple[datetime, datetime]:
    closing_at = _past(call.query.closing_at or now, now, "closing_at")
    opening_at = closing_at - PERIOD
    if call.query.opening_at:
        opening_at = _past(call.query.opening_at, now, "opening_at")
    if opening_at > closing_at:
        reason = because(PERIOD_BACKWARDS, path="$query.opening_at")
        raise ProblemError(INVALID_REQUEST, reasons=[reason])
    return opening_at, closing_at


def _past(instant: datetime, now: datetime, name: str) -> datetime:
    """The instant in UTC. Raises 400 for one that is not over, or in no ledger's time."""
    if not EARLIEST <= instant <= now:
        reason = because(INSTANT_OUT_OF_RANGE, path=f"$query.{name}")
        raise ProblemError(INVALID_REQUEST, reasons=[reason])
    return instant.astimezone(UTC)
