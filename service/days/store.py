"""Business days as rows."""

from datetime import date, datetime, time
from typing import Literal

import msgspec
from msgspec import Struct

from schemas.days import DayChange, DayLine
from service.kernel import database
from service.kernel.auth import Credential
from service.kernel.database import Connection
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.rules import days
from service.rules.periods import business_date


class Place(Struct):
    """A store whose days are asked after."""

    store_id: str
    time_zone: str
    day_cutoff: time
    closed_through: date | None

    def today(self, now: datetime) -> date:
        """The day that the store's clock says, whether it is closed or not."""
        return business_date(now, self.time_zone, self.day_cutoff)

    def is_closed(self, day: date) -> bool:
        """Whether nothing is added to a day any more."""
        return self.closed_through is not None and day <= self.closed_through


class _Change(Struct):
    change_no: int
    action: Literal["close", "reopen"]
    reason: str | None
    changed_at: datetime
    changed_by: str
    totals: str | None


async def hold(connection: Connection, merchant_id: str, store_id: str) -> None:
    """Wait for the store's posts, and keep new ones waiting, until the transaction ends.

    Raises LockNotAvailableError when they take too long.
    """
    await connection.execute(SQL["days.be_brief"])
    await connection.execute(SQL["days.hold"], merchant_id, store_id)


async def place(tenant: Reading, store_id: str) -> Place | None:
    """The store, or None."""
    merchant_id = tenant.merchant.merchant_id
    return await database.one(tenant.connection, "days.place", Place, merchant_id, store_id)


async def lines(tenant: Reading, store_id: str, day: date) -> list[DayLine]:
    """What a day holds, by the finest lines."""
    merchant_id = tenant.merchant.merchant_id
    return await database.many(tenant.connection, "days.lines", DayLine, merchant_id, store_id, day)


async def last_change_no(tenant: Reading, store_id: str, day: date) -> int:
    """How often a day was closed and opened."""
    merchant_id = tenant.merchant.merchant_id
    found: int = await tenant.connection.fetchval(
        SQL["days.last_change_no"], merchant_id, store_id, day
    )
    return found


async def changes(tenant: Reading, store_id: str, day: date) -> list[DayChange]:
    """The closings and reopenings of a day; each closing with what the one before had not."""
    merchant_id = tenant.merchant.merchant_id
    rows = await database.many(
        tenant.connection, "days.changes", _Change, merchant_id, store_id, day
    )
    found: list[DayChange] = []
    booked: list[DayLine] | None = None
    for row in rows:
        totals = msgspec.json.decode(row.totals or "[]", type=list[DayLine])
        change = DayChange(
            row.change_no, row.action, row.reason, row.changed_at, row.changed_by, totals, []
        )
        if row.action == "close":
            change.corrections = [] if booked is None else days.added(totals, booked)
            booked = totals
        found.append(change)
    return found


async def close_through(tenant: Reading, store_id: str, day: date) -> None:
    """Close the days up to this one, and no others; raises the epoch."""
    merchant_id = tenant.merchant.merchant_id
    await tenant.connection.execute(SQL["days.close_through"], merchant_id, store_id, day)


async def note(
    tenant: Reading,
    credential: Credential,
    store_id: str,
    day: date,
    *,
    reason: str | None = None,
    totals: list[DayLine] | None = None,
) -> None:
    """Record a closing with its totals, or a reopening with its reason."""
    await tenant.connection.execute(
        SQL["days.change"],
        tenant.merchant.merchant_id,
        store_id,
        day,
        "reopen" if totals is None else "close",
        reason,
        tenant.now,
        credential.actor_id,
        None if totals is None else msgspec.json.encode(totals).decode("utf-8"),
    )
