"""Something that waits for a second person, without rules that would keep all else waiting."""

import os

from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.sql import SQL

A_DAY_S = 86_400.0


async def waiting(
    pool: database.Pool, merchant_id: str, store_id: str | None, request: str = "{}"
) -> tuple[str, str]:
    """An approval that an owner can decide, asked for by somebody nobody is; and its digest."""
    approval_id, somebody, digest = new_id("apv"), "usr_" + "0" * 26, os.urandom(32)
    async with database.tenant(pool, merchant_id) as connection:
        await connection.execute(
            SQL["approvals.open"],
            *(merchant_id, approval_id, "refund", somebody, "user", somebody, None, store_id),
            *(None, 100, "CNY", request, digest, 1, ["owner"], A_DAY_S),
        )
    return approval_id, digest.hex()
