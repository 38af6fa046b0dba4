"""The story of a business day: it takes sales, closes, and opens again only to be corrected.

A day is closed alone: no operation of the store overlaps it. Tills wait meanwhile, so whatever can
be told or read before is, and the wait is short on both sides.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta

import asyncpg
from msgspec import Struct

from schemas.days import Day, DayBy, DayClose, DayReopen
from service.approvals import operations as approvals
from service.audit import operations as audit
from service.days import store
from service.days.store import Place
from service.kernel import database
from service.kernel.problems import (
    NOT_FOUND,
    UNAVAILABLE,
    ProblemError,
    because,
    define,
    define_reason,
)
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.kernel.turns import in_turn
from service.ledger.reading import Reading, active_tenant_of, reading
from service.ledger.reasons import STORE_NOT_ALLOWED
from service.rules import days

DAY_REFUSED = define(
    "day_refused",
    409,
    "The day can't be closed or opened now",
    "Nothing has changed. See reasons.",
)
DAY_AHEAD = define_reason("day_ahead", "The day has not begun at this store; close one that has.")
DAY_OVER = define_reason(
    "day_over",
    "Only today opens again: nothing would come into a day that is over. Correct it by refunds.",
)
DAY_MOVED = define_reason(
    "day_moved", "Somebody closed or opened the day meanwhile. Look at it, then decide again."
)
BUSY = "The store's tills are busy; ask again."
# No ledger is older.
EARLIEST = date(2000, 1, 1)


class _Days(Struct):
    """A store's days in a transaction of its merchant; one of them with its last change."""

    tenant: Reading
    place: Place
    day: date
    change_no: int


async def read(call: Call, _: None) -> Answer:
    """What a day holds."""
    return await _answer(call, call.query.by)


async def close(call: Call, body: DayClose) -> Answer:
    """Close a day, and with it all before."""

    def is_due(found: _Days) -> bool:
        if found.place.is_closed(found.day):
            return False
        if found.day > found.place.today(found.tenant.now):
            raise ProblemError(DAY_REFUSED, reasons=[because(DAY_AHEAD)])
        _require_unmoved(found, body.change_no)
        return True

    async def do(found: _Days) -> None:
        tenant, store_id = found.tenant, found.place.store_id
        totals = await store.lines(tenant, store_id, found.day)
        await store.note(tenant, call.credential, store_id, found.day, totals=totals)
        await store.close_through(tenant, store_id, found.day)
        await audit.record(call, tenant, "day.closed", store_id, after={"business_date": found.day})

    return await _changed(call, is_due, do)


async def reopen(call: Call, body: DayReopen) -> Answer:
    """Open today again."""

    def is_due(found: _Days) -> bool:
        if not found.place.is_closed(found.day):
            return False
        today = found.place.today(found.tenant.now)
        if found.day < today or found.day != found.place.closed_through:
            raise ProblemError(DAY_REFUSED, reasons=[because(DAY_OVER)])
        _require_unmoved(found, body.change_no)
        return True

    async def do(found: _Days) -> None:
        tenant, store_id = found.tenant, found.place.store_id
        await store.note(tenant, call.credential, store_id, found.day, reason=body.reason)
        await store.close_through(tenant, store_id, found.day - timedelta(days=1))
        after = {"business_date": found.day}
        await audit.record(call, tenant, "day.reopened", store_id, reason=body.reason, after=after)

    async def ahead(found: _Days) -> None:
        store_id = found.place.store_id
        await approvals.require_ahead(call, "day.reopen", body, store_id, store_id)

    return await _changed(call, is_due, do, ahead)


def _require_unmoved(found: _Days, change_no: int) -> None:
    """A request that comes late must not undo what somebody did meanwhile."""
    if found.change_no != change_no:
        raise ProblemError(DAY_REFUSED, reasons=[because(DAY_MOVED)])


async def _changed(
    call: Call,
    is_due: Callable[[_Days], bool],
    do: Callable[[_Days], Awaitable[None]],
    ahead: Callable[[_Days], Awaitable[None]] | None = None,
) -> Answer:
    """The day after a change, if one is due; `ahead` comes before it keeps tills waiting."""
    async with reading(call) as tenant:
        found = await _days(call, tenant)
        due = is_due(found)
        if due:  # what will be added up is read once before tills wait for it
            await store.lines(tenant, found.place.store_id, found.day)
    if due:
        if ahead is not None:
            await ahead(found)
        async with _alone(call) as found:
            if is_due(found):
                await do(found)
    return await _answer(call, "store")


@asynccontextmanager
async def _alone(call: Call) -> AsyncIterator[_Days]:
    """A transaction that no operation of the store overlaps. Raises as `reading`, and 503."""
    merchant_id, (store_id, _) = call.credential.merchant_id, _named(call)
    async with (
        in_turn(call.state.closing, BUSY),
        database.tenant(call.state.pool, merchant_id) as connection,
    ):
        try:
            await store.hold(connection, merchant_id, store_id)
        except asyncpg.LockNotAvailableError:
            raise ProblemError(UNAVAILABLE, BUSY) from None
        yield await _days(call, await active_tenant_of(call, connection))


async def _answer(call: Call, by: DayBy) -> Answer:
    async with reading(call) as tenant:
        found = await _days(call, tenant)
        place, day = found.place, found.day
        shown = Day(
            place.store_id,
            day,
            "closed" if place.is_closed(day) else "open",
            place.closed_through,
            tenant.merchant.currency,
            by,
            days.rolled_up(await store.lines(tenant, place.store_id, day), by),
            found.change_no,
            await store.changes(tenant, place.store_id, day),
        )
    return json_answer(200, shown)


async def _days(call: Call, tenant: Reading) -> _Days:
    """What the path names, as it is now. Raises 404."""
    store_id, day = _named(call)
    place = await store.place(tenant, store_id)
    if place is None:
        raise ProblemError(NOT_FOUND)
    return _Days(tenant, place, day, await store.last_change_no(tenant, store_id, day))


def _named(call: Call) -> tuple[str, date]:
    """Store and day of the path; 404 for what can't be either, 403 for another store's till."""
    store_id, text = object_id(call, "store_id", "sto"), call.path["business_date"]
    if not call.credential.acts_for(call.scope, store_id):
        raise ProblemError(STORE_NOT_ALLOWED)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ProblemError(NOT_FOUND) from None
    if day.isoformat() != text or day < EARLIEST:
        raise ProblemError(NOT_FOUND)
    return store_id, day
