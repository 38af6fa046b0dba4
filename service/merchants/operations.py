"""Merchants: the tenants, created by whoever runs the system.

A test tenant's clock can be moved forward.
"""

from datetime import UTC, datetime

from service.audit import operations as audit
from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.money import exponent
from service.merchants import store
from service.merchants.store import MerchantCreated
from service.rules.periods import zone

LAST_YEAR = 2200  # room for every validity before the calendar ends
# Long over: what is before it would go back just the same, and may not even be a time in UTC.
FIRST = datetime(2020, 1, 1, tzinfo=UTC)


async def create(
    pool: database.Pool,
    name: str,
    mode: str,
    currency: str,
    time_zone: str,
    *,
    is_platform: bool = False,
) -> MerchantCreated:
    """A new tenant: a merchant, or the platform whose people look after merchants.

    Raises ValueError for an unknown mode, currency or time zone, and for a second platform.
    """
    if mode not in ("test", "live"):
        raise ValueError(f"mode {mode!r}: must be test or live")
    exponent(currency)
    zone(time_zone)
    merchant_id = new_id("mer")
    async with database.tenant(pool, merchant_id) as connection:
        made = await store.insert(connection, merchant_id, name, mode, currency, time_zone)
        if is_platform:
            await store.become_platform(connection, merchant_id)
        after = {"name": name, "mode": mode, "currency": currency, "time_zone": time_zone}
        await audit.record_operator(
            connection, merchant_id, "merchant.created", merchant_id, after=after
        )
    return made


async def move_clock(connection: database.Connection, merchant_id: str, now: datetime) -> datetime:
    """Move a test tenant's clock forward, and return its new time.

    Raises ValueError when it would go back or too far, or the tenant isn't a test one.
    """
    if now.year >= LAST_YEAR:
        raise ValueError(f"the clock stops before the year {LAST_YEAR}")
    moved = await store.move_clock(connection, merchant_id, max(now, FIRST))
    if moved is None:
        raise ValueError(
            "the clock of a test tenant moves forward only, and a live tenant has none of its own"
        )
    return moved
