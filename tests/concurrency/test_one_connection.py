"""Two tenants share one connection that is cut and cancelled all the time: nothing leaks.

THREAT-T14. The tenant is set for a transaction, never for a connection: whoever forgets to set it
sees nothing, whoever came before. `KAFANG_TENANT_READS=100000` for the long version.
"""

import asyncio
import os
import random
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from service.kernel import database as databases
from service.kernel import embedded
from service.kernel.sql import SQL
from service.merchants import operations as merchants

READS = int(os.environ.get("KAFANG_TENANT_READS", "10000"))
READERS = 12
# Of a hundred reads so many are cancelled on their way, and so many don't say for whom they are.
CANCELLED, FORGETFUL = 10, 20
KILL_EVERY_S = 0.05
# No tenant is named: row-level security is all there is.
READ = "select merchant_id from merchant"
FAILED = (*databases.LOST, asyncpg.PostgresError, TimeoutError)


class Storm:
    """Reads of two merchants over a pool of one connection; `seen` counts what came back."""

    def __init__(self, pool: databases.Pool, names: list[str], seed: int) -> None:
        self.pool = pool
        self.names = names
        self.chance = random.Random(seed)
        self.left = READS
        self.seen = 0
        self.nothing = 0
        self.cut = 0

    async def read(self) -> None:
        """Until all is read: each answer is one's own merchant, or nothing where none was set."""
        while self.left > 0:
            self.left -= 1
            name, draw = self.chance.choice(self.names), self.chance.randrange(100)
            task = asyncio.create_task(self._one(name, forgetful=draw >= 100 - FORGETFUL))
            if draw < CANCELLED:
                for _ in range(self.chance.randrange(1, 12)):
                    await asyncio.sleep(0)
                task.cancel()
            try:
                found = await task
            except (*FAILED, asyncio.CancelledError):
                self.cut += 1
                continue
            if draw >= 100 - FORGETFUL:
                assert found == [], f"{found} leaked to who had set no tenant"
                self.nothing += 1
            else:
                assert found == [name], f"{found} leaked to {name}"
                self.seen += 1

    async def _one(self, name: str, *, forgetful: bool) -> list[str]:
        if forgetful:
            async with databases.borrowed(self.pool) as connection, connection.transaction():
                return [row[0] for row in await connection.fetch(READ)]
        async with databases.tenant(self.pool, name) as connection:
            return [row[0] for row in await connection.fetch(READ)]


async def kill_readers(dsn: str, application: str) -> None:
    """End the pool's connection at the server, over and over."""
    admin = await asyncpg.connect(dsn)
    try:
        while True:
            await asyncio.sleep(KILL_EVERY_S)
            await admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = $1",
                application,
            )
    finally:
        await admin.close()


async def keep_settings(_: Any) -> None:
    """In place of the driver's reset of a connection that goes back: nothing."""


@pytest.mark.parametrize("broken", [False, True], ids=["product", "twin"])
async def test_THREAT_T14_one_connection_leaks_no_tenant(
    broken: bool, postgres: embedded.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the twin the tenant is set for the connection, and nothing resets it."""
    application = f"storm-{uuid4().hex[:8]}"
    options: dict[str, Any] = {}
    if broken:
        queries: Any = SQL
        assert "true)" in SQL["tenant.set"]
        monkeypatch.setitem(queries, "tenant.set", SQL["tenant.set"].replace("true)", "false)"))
        options = {"reset": keep_settings}
    pool = await asyncpg.create_pool(
        postgres.app_dsn,
        min_size=1,
        max_size=1,
        server_settings=databases.READER_SETTINGS | {"application_name": application},
        **options,
    )
    killer = asyncio.create_task(kill_readers(postgres.admin_dsn, application))
    try:
        names = [
            (await merchants.create(pool, name, "test", "CNY", "Asia/Shanghai")).merchant_id
            for name in ("青禾美发", "白露茶室")
        ]
        storm = Storm(pool, names, 14)
        readers = [asyncio.create_task(storm.read()) for _ in range(READERS)]
        if broken:
            with pytest.raises(AssertionError, match="leaked"):
                await asyncio.gather(*readers)
            storm.left = 0
            await asyncio.gather(*readers, return_exceptions=True)
            return
        await asyncio.gather(*readers)
        assert storm.seen > READS / 4
        assert storm.nothing > READS / 20
        assert storm.cut > READS / 100
    finally:
        killer.cancel()
        with suppress(asyncio.CancelledError):
            await killer
        await asyncio.wait_for(pool.close(), 30)
