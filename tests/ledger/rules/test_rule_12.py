"""Rule 12: events are numbered once they are committed, and none is passed by.

Per card the order is the leg's version, no id is a cursor, and no post waits for the chain.
"""

import asyncio
from itertools import count
from typing import Any

import pytest

from service.cards import store as cards
from service.events import sequencer
from service.events import store as events
from service.kernel import database as databases
from service.kernel import embedded
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.ledger.terms import Merchant
from tests.ledger.ledger_fixture import Card
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Shop, both, caught, schema_of, shop, swapped

BY_OPERATION_ID = (
    (
        "and g.version > $3\norder by g.version",
        "and g.operation_id > coalesce((select x.operation_id from leg x where x.merchant_id = $1"
        " and x.card_id = $2 and x.version = $3), '')\norder by g.operation_id",
    ),
)


def slow_clock() -> Any:
    """Ids of a worker whose clock is behind: they sort before all that is there."""
    numbers = count(1)
    return lambda prefix: f"{prefix}_{next(numbers):026d}"


async def page(merchant: Shop, card: Card, after: int, limit: int) -> list[int]:
    """Versions of a page of the statement."""
    async with merchant.pool.acquire() as connection, connection.transaction():
        await connection.execute(SQL["tenant.set"], merchant.merchant_id)
        found = await databases.one(connection, "tenant.merchant", Merchant, merchant.merchant_id)
        assert found is not None
        tenant = Reading(connection, found)
        lines = await cards.statement(tenant, card.card_id, after, limit)
    return [line.version for line in lines]


@both(BY_OPERATION_ID)
async def test_rule_12_a_statement_misses_nothing_that_commits_out_of_order_of_ids(
    database: embedded.Server, twin: kit.Swaps | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read page by page while a worker with a slow clock commits between two pages."""
    queries: Any = SQL
    monkeypatch.setitem(queries, "cards.statement", swapped(SQL["cards.statement"], twin or ()))
    async with shop(database) as merchant, kit.lines(kit.connect(database)) as (line,):
        card = await merchant.card(100)
        ids = slow_clock()
        seen: list[int] = []
        for _ in range(3):
            seen += await page(merchant, card, seen[-1] if seen else 0, 2)
            batch = await merchant.fold(line, [merchant.topping_up(card, 1)], ids)
            assert await merchant.post(line, batch.rows.arguments()) == []
        while more := await page(merchant, card, seen[-1], 2):
            seen += more
            assert len(seen) < 10
        with caught(twin, "missed"):
            assert seen == [1, 2, 3, 4, 5], f"of versions 1 to 5 some were missed: {seen}"
        await merchant.require_whole()


# One row per merchant that every post extends.
CHAIN_HEAD = (
    (
        "  -- 2. Keys first",
        "  update merchant set name = name || '.' where merchant_id = p_merchant;\n"
        "  -- 2. Keys first",
    ),
)


@both(CHAIN_HEAD)
async def test_rule_12_posts_of_one_merchant_do_not_wait_for_each_other(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """A card's post isn't committed yet, another's goes through: they share no locked row."""
    schema = await schema_of(database, "post_v2", twin)
    dials = kit.connect(database, schema), kit.connect(database, schema), kit.admin(database)
    async with shop(database) as merchant, kit.lines(*dials) as (first, second, watcher):
        batches = []
        for line in (first, second):
            card = await merchant.card(100)
            both_ways = [merchant.redeeming(card, 10), merchant.topping_up(card, 5)]
            batches.append(await merchant.fold(line, both_ways))
        transaction = first.transaction()
        await transaction.start()
        assert await merchant.post(first, batches[0].rows.arguments()) == []
        task = asyncio.create_task(merchant.post(second, batches[1].rows.arguments()))
        done = await kit.done_or_waits(watcher, task, second.get_server_pid())
        await transaction.commit()
        assert await task == []
        with caught(twin, "waits for another card"):
            assert done, "a post waits for another card's"
        assert await merchant.held() == 190


# By a cursor over the posts' numbers: whoever commits late is passed by.
BY_POST_NO = (
    (
        "delete from unsequenced where merchant_id = v_merchant and post_no = any (array(select"
        " post_no from part))\n      returning post_no, operations)",
        "select post_no, operations from unsequenced where merchant_id = v_merchant and post_no >"
        " coalesce(nullif(current_setting('kafang.cursor', true), ''), '0')::bigint)",
    ),
    (
        "    v_count := v_count",
        "    perform set_config('kafang.cursor', (select coalesce(max(post_no), 0) from"
        " unsequenced where merchant_id = v_merchant)::text, false);\n    v_count := v_count",
    ),
)


async def feed(merchant: Shop, limit: int = 1000) -> list[events.Row]:
    """All events, read on after each page."""
    rows: list[events.Row] = []
    while True:
        async with merchant.pool.acquire() as connection, connection.transaction():
            await connection.execute(SQL["tenant.set"], merchant.merchant_id)
            found = await databases.one(
                connection, "tenant.merchant", Merchant, merchant.merchant_id
            )
            assert found is not None
            page = await events.after(
                Reading(connection, found), rows[-1].seq if rows else 0, limit
            )
        rows += page
        if len(page) < limit:
            return rows


@both(BY_POST_NO)
async def test_rule_12_the_feed_misses_nothing_that_commits_late(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """A post that began first commits after another one was numbered."""
    schema = await schema_of(database, "sequence_v1", twin)
    dials = kit.connect(database), kit.connect(database), kit.connect(database, schema)
    async with shop(database) as merchant, kit.lines(*dials) as (first, second, numbering):
        cards = [await merchant.card(100) for _ in range(2)]
        await sequencer.number(numbering)
        late, soon = [
            await merchant.fold(line, [merchant.redeeming(card, 10)])
            for line, card in zip((first, second), cards, strict=True)
        ]
        transaction = first.transaction()
        await transaction.start()
        assert await merchant.post(first, late.rows.arguments()) == []
        assert await merchant.post(second, soon.rows.arguments()) == []
        await sequencer.number(numbering)
        seen = [row.id for row in await feed(merchant)]
        await transaction.commit()
        await sequencer.number(numbering)
        again = [row.id for row in await feed(merchant, 3)]
        assert again[: len(seen)] == seen
        done = await merchant.rows("select operation_id from operation where merchant_id = $1")
        with caught(twin, "never numbered"):
            missing = {row[0] for row in done} - set(again)
            assert not missing, f"{missing} was never numbered"
        if not twin:
            await merchant.require_whole()


# By their ids, which a worker with another clock makes in another order.
BY_ID = (("order by p.post_no, o.place", "order by o.id"),)


@both(BY_ID)
async def test_rule_12_events_of_a_card_are_in_the_order_of_its_versions(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """Ids that go backwards, several operations in one post, several posts in one go."""
    schema = await schema_of(database, "sequence_v1", twin)
    numbers = iter(range(999, 0, -1))
    dials = kit.connect(database), kit.connect(database, schema)
    async with shop(database) as merchant, kit.lines(*dials) as (line, numbering):
        card = await merchant.card(100)
        await sequencer.number(numbering)
        for _ in range(3):
            both_ways = [merchant.redeeming(card, 10), merchant.topping_up(card, 5)]
            batch = await merchant.fold(
                line, both_ways, lambda prefix: f"{prefix}_{next(numbers):026d}"
            )
            assert await merchant.post(line, batch.rows.arguments()) == []
        await sequencer.number(numbering)
        versions = [row.version for row in await feed(merchant) if row.card_id == card.card_id]
        with caught(twin, "out of order"):
            assert versions == sorted(versions, key=lambda version: version or 0), (
                f"out of order: {versions}"
            )
        if not twin:
            await merchant.require_whole()
