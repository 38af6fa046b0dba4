"""Stores of a merchant, each with its time zone, legal entity and day cut-off."""

from datetime import time

from service.audit import operations as audit
from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.sql import SQL
from service.rules.periods import zone
from service.stores.store import StoreCreated


async def create(
    pool: database.Pool,
    merchant_id: str,
    name: str,
    legal_entity: str,
    time_zone: str,
    day_cutoff: time,
) -> StoreCreated:
    """A new store; raises the epoch. Raises ValueError for an unknown zone or merchant."""
    zone(time_zone)
    store_id = new_id("sto")
    async with database.tenant(pool, merchant_id) as connection:
        if await connection.fetchval(SQL["stores.raise_epoch"], merchant_id) is None:
            raise ValueError(f"there is no merchant {merchant_id}")
        await connection.execute(
            SQL["stores.insert"], merchant_id, store_id, name, legal_entity, time_zone, day_cutoff
        )
        made = StoreCreated(merchant_id, store_id, name, legal_entity, time_zone, day_cutoff)
        await audit.record_operator(connection, merchant_id, "store.created", store_id, after=made)
    return made
