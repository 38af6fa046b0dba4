"""Stores as rows."""

from datetime import time

from msgspec import Struct

from schemas.stores import Store
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading


class StoreCreated(Struct):
    """A new store."""

    merchant_id: str
    store_id: str
    name: str
    legal_entity: str
    time_zone: str
    day_cutoff: time


async def insert(
    connection: database.Connection,
    made: StoreCreated,
    code: str | None = None,
    contract: list[str] | None = None,
) -> bool:
    """Whether there was none of this code."""
    inserted = await connection.fetchval(
        SQL["stores.insert"],
        made.merchant_id,
        made.store_id,
        made.name,
        made.legal_entity,
        made.time_zone,
        made.day_cutoff,
        code,
        contract,
    )
    return inserted is not None


async def page(tenant: Reading, after: str, only: frozenset[str] | None, limit: int) -> list[Store]:
    """Stores made after one, in the order they were made."""
    return await database.many(
        tenant.connection,
        "stores.page",
        Store,
        tenant.merchant.merchant_id,
        after,
        None if only is None else sorted(only),
        limit,
    )


async def by_id(tenant: Reading, store_id: str) -> Store | None:
    """One of them."""
    found = await page(tenant, "", frozenset((store_id,)), 1)
    return found[0] if found else None


async def by_code(tenant: Reading, code: str) -> Store:
    """The one that is called so."""
    store_id: str = await tenant.connection.fetchval(
        SQL["stores.by_code"], tenant.merchant.merchant_id, code
    )
    found = await by_id(tenant, store_id)
    assert found is not None
    return found
