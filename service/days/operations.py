"""The story of a business day: it takes sales, closes, and opens again only to be corrected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta

import asyncpg
from msgspec import Struct

from schemas.days import Day, DayBy, DayClose, DayReopen
from service.days import store
from service.days.store import Place
from service.kernel import database
from service.kernel.http import Answer, Call, json_answer, object_id
from service.kernel.problems import (
    NOT_FOUND,
    UNAVAILABLE,
    ProblemError,
    because,
    define,
    define_reason,
)
from service.ledger.reading import Reading, reading
from service.ledger.reasons import STORE_NOT_ALLOWED
from service.ledger.terms import Merchant
from service.rules import days

DAY_REFUSED = define(
    "day_refused",
    409,
    "The day can't be closed or opened now",
    "Nothing has changed. See reasons.",
)
DAY_AHEAD = define_reason("day_ahead", "The day has not begun at this store; close one that has.")
DAY_NOT_LAST = define_reason(
    "day_not_last",
    "A later day is closed, and its figures stand. Reopen the last closed day, or correct in it.",
)


# No ledger is older.
EARLIEST = date(2000, 1, 1)


class _Days(Struct):
    """A store's days in a transaction of its merchant."""

    tenant: Reading
    place: Place


async def read(call: Call, _: None) -> Answer:
    """What a day holds."""
    store_id, day = _named(call)
    async with reading(call) as tenant:
        return json_answer(200, await _shown(await _days(tenant, store_id), day, call.query.by))


async def close(call: Call, _: DayClose) -> Answer:
    """Close a day, and with it all before."""
    store_id, day = _named(call)
    async with _alone(call, store_id) as found:
        tenant, place = found.tenant, found.place
        if not place.is_closed(day):
            if day > place.today(tenant.now):
                raise ProblemError(DAY_REFUSED, reasons=[because(DAY_AHEAD)])
            totals = await store.lines(tenant, store_id, day)
            await store.note(tenant, call.credential, store_id, day, totals=totals)
            await store.close_through(tenant, place, day)
        return json_answer(200, await _shown(found, day, "store"))


async def reopen(call: Call, body: DayReopen) -> Answer:
    """Open the last closed day again."""
    store_id, day = _named(call)
    async with _alone(call, store_id) as found:
        tenant, place = found.tenant, found.place
        if place.is_closed(day):
            if day != place.closed_through:
                raise ProblemError(DAY_REFUSED, reasons=[because(DAY_NOT_LAST)])
            await store.note(tenant, call.credential, store_id, day, reason=body.reason)
            await store.close_through(tenant, place, day - timedelta(days=1))
        return json_answer(200, await _shown(found, day, "store"))


def _named(call: Call) -> tuple[str, date]:
    """Store and day of the path; 404 for what can't be either, 403 for another store's till."""
    store_id, text = object_id(call, "store_id", "sto"), call.path["business_date"]
    if not call.credential.acts_for(store_id):
        raise ProblemError(STORE_NOT_ALLOWED)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ProblemError(NOT_FOUND) from None
    if day.isoformat() != text or day < EARLIEST:
        raise ProblemError(NOT_FOUND)
    return store_id, day


@asynccontextmanager
async def _alone(call: Call, store_id: str) -> AsyncIterator[_Days]:
    """A transaction that no operation of the store overlaps. Raises as `reading`, and 503."""
    async with reading(call):
        pass  # the credential as of now
    merchant_id = call.credential.merchant_id
    try:
        async with database.tenant(call.state.pool, merchant_id) as connection:
            await store.hold(connection, store_id)
            merchant = await database.one(connection, "tenant.merchant", Merchant, merchant_id)
            assert merchant is not None
            yield await _days(Reading(connection, merchant), store_id)
    except asyncpg.QueryCanceledError:
        raise ProblemError(UNAVAILABLE, "The store's tills are busy; ask again.") from None


async def _days(tenant: Reading, store_id: str) -> _Days:
    place = await store.place(tenant, store_id)
    if place is None:
        raise ProblemError(NOT_FOUND)
    return _Days(tenant, place)


async def _shown(found: _Days, day: date, by: DayBy) -> Day:
    tenant, place = found.tenant, found.place
    return Day(
        place.store_id,
        day,
        "closed" if place.is_closed(day) else "open",
        place.closed_through,
        tenant.merchant.currency,
        by,
        days.rolled_up(await store.lines(tenant, place.store_id, day), by),
        await store.changes(tenant, place.store_id, day),
    )
