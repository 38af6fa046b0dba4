"""The story of a report: one snapshot, an instant or a period of the past, lines that add up.

The export is the exception: a chunk is one snapshot, and the whole of it many. It holds together
because its period is fixed with the first chunk and what is recorded in it doesn't change any more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from io import SEEK_END, BytesIO
from time import perf_counter

import asyncpg
from msgspec import Struct

from schemas.common import Id, Instant
from schemas.reports import Flow, Liability, LiabilityLine, Movement, MovementList, SettlementList
from service.kernel import paging
from service.kernel.problems import (
    INVALID_REQUEST,
    INVALID_VALUE,
    UNAVAILABLE,
    ProblemError,
    because,
    define_reason,
)
from service.kernel.routes import Answer, Call, json_answer
from service.kernel.turns import in_turn
from service.ledger.reading import Reading, reading
from service.reports import rules, store
from service.reports.store import FlowOf

CSV = "text/csv; charset=utf-8"

# The period of a report that names none.
PERIOD = timedelta(days=1)
# How long until what is recorded at an instant is committed or never will be. `recorded_at` is the
# database's time when a batch is read; each of the writer's attempts takes a new one, so its
# patience doesn't count. Between that and the end of the post lie the rest of the read (10 s at
# most), the tenant's terms (2.5 s for a connection and 10 s) and the post (10 s). Twice as much
# leaves room for the commit, which nothing bounds but the disk; mostly it is over in milliseconds.
SETTLED = timedelta(seconds=60)
# No ledger is older, and dates near the first year can't be reckoned with in every time zone.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
INSTANT_OUT_OF_RANGE = define_reason(
    "instant_out_of_range", "Name an instant that has passed, from the year 2000 on."
)
PERIOD_BACKWARDS = define_reason("period_backwards", "The opening must come before the closing.")

_Line = tuple[str, str, str, str]


class _Place(Struct, array_like=True):
    """Where an export stands: its period, and the last row that was sent."""

    opening_at: Instant
    closing_at: Instant
    recorded_at: Instant
    operation_id: Id


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


async def export(call: Call, _: None) -> Answer:
    """A chunk of all operations of a period, as a table."""
    limit: int = call.query.limit
    body, left, more, last = BytesIO(rules.header()), limit, False, None
    body.seek(0, SEEK_END)
    async with _reporting(call) as tenant:
        place = _place(call, tenant.now)
        began = perf_counter()
        # One row more than asked for tells whether there is more. After each slice the export rests
        # for as long as it took, here and in the database: an office can wait, a till can't.
        async for rows in store.operations(
            tenant, place.recorded_at, place.operation_id, place.closing_at, limit + 1
        ):
            more = len(rows) > left
            if kept := rows[:left]:
                body.write(rules.lines(kept))
                last, left = kept[-1], left - len(kept)
            await asyncio.sleep(perf_counter() - began)
            began = perf_counter()
    headers = {
        "Opening-At": rules.instant(place.opening_at),
        "Closing-At": rules.instant(place.closing_at),
    }
    if more and last is not None:
        place.recorded_at, place.operation_id = last["recorded_at"], last["operation_id"]
        headers["Next-Cursor"] = paging.encode_cursor(place)
    return Answer(200, body.getvalue(), media_type=CSV, headers=headers)


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
    try:
        async with (
            in_turn(call.state.reporting, "Other reports are being made; ask again."),
            reading(call) as tenant,
        ):
            yield tenant
    except asyncpg.QueryCanceledError:
        raise ProblemError(UNAVAILABLE, "The report took too long; ask again later.") from None


def _place(call: Call, now: datetime) -> _Place:
    """Where to go on: at the cursor, or at the beginning of the period asked for."""
    place: _Place | None = paging.decode_cursor(call.query.cursor, _Place)
    if place is None:
        opening_at, closing_at = _period(call, now, now - SETTLED)
        # No id sorts after it: nothing at the opening itself.
        return _Place(opening_at, closing_at, opening_at, "~")
    if not EARLIEST <= place.opening_at <= place.recorded_at <= place.closing_at <= now:
        raise paging.refusal()
    for name in ("opening_at", "closing_at"):
        if getattr(call.query, name) not in (None, getattr(place, name)):
            reason = because(
                INVALID_VALUE, "The cursor is of another period.", path=f"$query.{name}"
            )
            raise ProblemError(INVALID_REQUEST, reasons=[reason])
    return place


def _period(
    call: Call, now: datetime, unless_named: datetime | None = None
) -> tuple[datetime, datetime]:
    """The period asked for; it ends now, or as said, where no end is named."""
    closing_at = _past(call.query.closing_at or unless_named or now, now, "closing_at")
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
