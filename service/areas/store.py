"""Areas as rows, and where areas and stores are."""

from schemas.areas import Area
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading


async def areas(tenant: Reading) -> list[Area]:
    """Every area."""
    return await database.many(tenant.connection, "areas.all", Area, tenant.merchant.merchant_id)


async def insert(tenant: Reading, area_id: str, name: str) -> None:
    """A new one."""
    await tenant.connection.execute(SQL["areas.insert"], tenant.merchant.merchant_id, area_id, name)


async def place(tenant: Reading, placement_id: str, node_id: str, parent_id: str | None) -> None:
    """From now on an area or a store is there, and nowhere else."""
    connection, merchant_id = tenant.connection, tenant.merchant.merchant_id
    await connection.execute(SQL["areas.leave"], merchant_id, node_id)
    query = "areas.place_area" if node_id.startswith("are_") else "areas.place_store"
    await connection.execute(SQL[query], merchant_id, placement_id, node_id, parent_id)
