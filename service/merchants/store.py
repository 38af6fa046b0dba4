"""Merchants as rows."""

from datetime import datetime

import asyncpg
from msgspec import Struct

from service.kernel import database
from service.kernel.sql import SQL


class MerchantCreated(Struct):
    """A new tenant."""

    merchant_id: str
    name: str
    mode: str
    currency: str
    time_zone: str


async def insert(
    connection: database.Connection,
    merchant_id: str,
    name: str,
    mode: str,
    currency: str,
    time_zone: str,
) -> MerchantCreated:
    """The tenant's row."""
    await connection.execute(SQL["merchants.insert"], merchant_id, name, mode, currency, time_zone)
    return MerchantCreated(merchant_id, name, mode, currency, time_zone)


async def become_platform(connection: database.Connection, merchant_id: str) -> None:
    """The tenant is the platform's. Raises ValueError where there is one."""
    try:
        await connection.execute(SQL["merchants.become_platform"], merchant_id)
    except asyncpg.UniqueViolationError:
        raise ValueError("there is a platform already") from None


async def move_clock(
    connection: database.Connection, merchant_id: str, now: datetime
) -> datetime | None:
    """The new clock, or None when it may not be moved there."""
    moved: datetime | None = await connection.fetchval(
        SQL["merchants.move_clock"], merchant_id, now
    )
    return moved
