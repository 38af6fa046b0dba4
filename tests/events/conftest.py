"""A database to tamper with, and a merchant in it with some of everything."""

from collections.abc import AsyncIterator
from datetime import time

import asyncpg
import pytest

from service.events import sequencer
from service.kernel import database as databases
from service.kernel import embedded
from service.ledger import invariants
from service.stores import operations as stores
from tests.ledger import conftest as ledger
from tests.ledger import scratch
from tests.ledger.rules import kit
from tests.ledger.rules.kit import ZONE, Shop

original = ledger.original


@pytest.fixture
async def merchant(original: embedded.Server) -> AsyncIterator[Shop]:
    """A merchant whose events are all numbered, in a database of its own."""
    async with scratch.clone(original) as server, kit.shop(server) as shop:
        await live(shop)
        await number(shop)
        yield shop


async def live(shop: Shop) -> None:
    """Some of everything: sales, a refusal, changes of state and of the configuration."""
    card = await shop.card(1_000)
    for amount in range(1, 6):
        assert (await shop.redeem(card, amount))["http"] == 201
    assert (await shop.redeem(card, 99_999))["http"] == 409
    assert (await shop.freeze(card))["http"] == 200
    name, entity = "二店", "青禾美发有限公司"
    await stores.create(shop.pool, shop.merchant_id, name, entity, ZONE, time(4))


async def number(shop: Shop) -> int:
    """Number what waits, as the sequencer does."""
    connection = await databases.connect_sequencer(shop.server.app_dsn)
    try:
        return await sequencer.number(connection, begin_chains=True)
    finally:
        await connection.close()


async def tamper(shop: Shop, *statements: str) -> None:
    """As who owns the machine: past row security, grants and keys between tables."""
    connection = await asyncpg.connect(shop.server.admin_dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        for statement in statements:
            done = await connection.execute(statement)
            assert not done.endswith(" 0"), f"nothing was changed by {statement}"
    finally:
        await connection.close()


async def breaches(shop: Shop, *names: str) -> set[str]:
    """Which of these invariants don't hold."""
    report = await invariants.verify(shop.server.owner_dsn, [shop.merchant_id])
    return {breach.invariant for breach in report.breaches} & set(names)
