"""Readers share few connections: they may wait for one, never for each other."""

import asyncio
from types import SimpleNamespace
from typing import Any

from service.kernel import database, embedded, tokens
from service.ledger.reading import reading
from service.ledger.terms import Terms
from service.merchants import operations as merchants
from tests.harness.tenant import Tenant


async def test_readers_that_meet_a_new_epoch_do_not_wait_for_each_other(
    tenant: Tenant, postgres: embedded.Server
) -> None:
    """Each holds a connection of the pool; if it needed a second one, all would wait for ever."""
    token = tokens.parse(tenant.merchant_key)
    assert token is not None
    pool = await database.open_pool(postgres.app_dsn, 2)
    try:
        terms = Terms(pool)
        credential = await terms.credential(token.merchant_id, token.secret_hash)
        assert credential is not None
        moved_to = (await _now(pool)).replace(year=2100)
        async with database.tenant(pool, tenant.merchant_id) as connection:
            await merchants.move_clock(connection, tenant.merchant_id, moved_to)  # a new epoch
        state = SimpleNamespace(pool=pool, terms=terms)
        call: Any = SimpleNamespace(credential=credential, state=state, scope="cards:read")

        async def read() -> str:
            async with reading(call) as seen:
                return seen.merchant.merchant_id

        async with asyncio.timeout(30):
            seen = await asyncio.gather(*(read() for _ in range(16)))
        assert set(seen) == {tenant.merchant_id}
    finally:
        pool.terminate()


async def _now(pool: database.Pool) -> Any:
    async with pool.acquire() as connection:
        return await connection.fetchval("select clock_timestamp()")
