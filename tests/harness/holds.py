"""A legal hold of a member, as somebody placed it."""

from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.sql import SQL


async def placed(
    pool: database.Pool, merchant_id: str, member_id: str, reason: str = "court order"
) -> str:
    """The id of a new hold."""
    hold_id = new_id("lgh")
    async with database.tenant(pool, merchant_id) as connection:
        now = await connection.fetchval("select clock_timestamp()")
        await connection.execute(
            SQL["personal.place_hold"], merchant_id, hold_id, member_id, reason, "operator", now
        )
    return hold_id
