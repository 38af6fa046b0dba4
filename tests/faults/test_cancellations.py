"""A client's task is cancelled while its batch is inside the post, or inside the commit.

THREAT-T4.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from service.kernel import embedded
from service.ledger import connections, invariants
from service.settings import Settings
from tests.concurrency import shares
from tests.faults import backends
from tests.harness.server import Server
from tests.ledger.ledger_fixture import Ledger, ledger

ROUNDS = 25
STAY, LEAVE = 3, 3
PAID = 1_000
_OPERATIONS = """
select key_hash, operation_id from idempotency_key
where merchant_id = $1 and key_hash = any ($2::bytea[])
"""
Block = Callable[[embedded.Server], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def posts_blocked(server: embedded.Server) -> AsyncIterator[str]:
    """Every post waits, its keys and cards already written; yields what its backend waits for."""
    owner = await backends.connect(server.owner_dsn)
    try:
        async with owner.transaction():
            await owner.execute("lock table operation in share row exclusive mode")
            yield "relation"
    finally:
        await owner.close()


@asynccontextmanager
async def commits_blocked(server: embedded.Server) -> AsyncIterator[str]:
    """Every commit is on disk and waits for a standby that there is none of."""
    admin = await backends.connect(server.admin_dsn)
    probe = await backends.connect(server.admin_dsn)
    pid = probe.get_server_pid()
    try:
        await admin.execute("alter system set synchronous_standby_names = 'nobody'")
        await admin.execute("select pg_reload_conf()")

        async def blocked() -> bool:
            return await backends.waiting(admin, {pid}) == {"SyncRep"}

        async def probing() -> None:
            while not released.is_set():
                await probe.execute("select pg_logical_emit_message(true, 'probe', '')")

        released = asyncio.Event()
        task = asyncio.create_task(probing())
        await backends.until(blocked, "commits blocked")
        yield "SyncRep"
        released.set()
        await admin.execute("alter system reset synchronous_standby_names")
        await admin.execute("select pg_reload_conf()")
        await task
    finally:
        await admin.execute("alter system reset synchronous_standby_names")
        await admin.execute("select pg_reload_conf()")
        await probe.close()
        await admin.close()


@pytest.mark.parametrize("block", [posts_blocked, commits_blocked])
async def test_T4_who_is_cancelled_in_a_commit_costs_nobody_anything(
    block: Block, own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: the others are answered, the effect stands, its key fetches it, nothing leaks.

    75 cancellations for each place, in batches of which one half stays.
    """
    # The test follows one backend: no other takes its place meanwhile.
    monkeypatch.setattr(connections, "RENEW_MIN_S", 3600.0)
    server = own_server.postgres
    admin = await backends.connect(server.admin_dsn)

    async def connected() -> bool:
        pids = await backends.pids(admin, "kafang-writer")
        return len(pids) == shares.WORKERS * Settings().lanes

    await backends.until(connected, "all lanes of the service connected")
    others = await backends.pids(admin, "kafang-writer")
    async with ledger(server, lanes=1) as books:
        mine = await backends.pids(admin, "kafang-writer") - others
        template = await books.publish()
        cards = [await books.issue(template) for _ in range(3)]
        for card in cards:
            await books.top_up(card, PAID)
        for _ in range(ROUNDS):
            keys = [secrets.token_bytes(16) for _ in range(STAY + LEAVE)]
            async with block(server) as wait_event:
                tasks = [
                    asyncio.create_task(books.redeem(cards[n % 3], 1, key))
                    for n, key in enumerate(keys)
                ]

                async def in_flight(event: str = wait_event) -> bool:
                    return await backends.waiting(admin, mine) == {event}

                await backends.until(in_flight, f"the batch in {wait_event}")
                for task in tasks[STAY:]:
                    task.cancel()
                gone = await asyncio.gather(*tasks[STAY:], return_exceptions=True)
                assert all(isinstance(each, asyncio.CancelledError) for each in gone)
                assert await in_flight()
                assert not any(task.done() for task in tasks[:STAY])
            answers = await asyncio.gather(*tasks[:STAY])
            assert {answer["http"] for answer in answers} == {201}
            await _require_applied(books, server, keys)
        assert await backends.pids(admin, "kafang-writer") - others == mine
        left = [await books.redeem(card, 1) for card in cards]
        spent = ROUNDS * (STAY + LEAVE) // 3 + 1
        assert [each["card"]["balances"]["total"] for each in left] == [PAID - spent] * 3
        report = await invariants.verify(server.owner_dsn, [books.merchant_id])
        assert not report.breaches, report.text()
    await admin.close()


async def _require_applied(books: Ledger, server: embedded.Server, keys: list[bytes]) -> None:
    """Each key has its operation, and sending it again answers with that one."""
    owner = await backends.connect(server.owner_dsn)
    try:
        async with owner.transaction():
            await owner.execute(
                "select set_config('kafang.merchant_id', $1, true)", books.merchant_id
            )
            rows = await owner.fetch(_OPERATIONS, books.merchant_id, keys)
    finally:
        await owner.close()
    assert len(rows) == len(keys)
    card = await books.issue(await books.publish())
    for row in rows:
        again = await books.redeem(card, 1, row["key_hash"])
        assert (again["http"], again["id"]) == (201, row["operation_id"])
