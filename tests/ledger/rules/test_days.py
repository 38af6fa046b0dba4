"""A day that closes: nothing decided before is posted into it, and no closing overtakes a post."""

import asyncio
import math
from datetime import date, time, timedelta

import pytest

from service.kernel import embedded
from service.kernel.sql import SQL
from service.ledger.commands import Redeem
from service.stores import operations as stores
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Shop, Tap, both, caught, schema_of, shop

DAY = timedelta(days=1)
CLOSE = "update store set closed_through = $2 where merchant_id = $1"
HELD = "select count(*) from operation where merchant_id = $1 and kind = 'redeem'"
UNCHECKED = (("s.closed_through >= o.business_date", "false"),)
UNSHARED = (("perform pg_advisory_xact_lock_shared(s.day)", "perform s.day"),)


def sale() -> Redeem:
    """Of 30."""
    return Redeem("POS-1", 30, "CNY", [], True, None, None)


@both(UNCHECKED)
async def test_INV_a_sale_decided_before_the_closing_is_not_of_the_closed_day(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    schema = await schema_of(database, "post_v2", twin)
    async with shop(database) as merchant, kit.lines(kit.connect(database, schema)) as (poster,):
        card = await merchant.card(100)
        batch = await merchant.fold(poster, [merchant.command(sale(), card)])
        [[today]] = await merchant.rows(
            "select max(business_date) from operation where merchant_id = $1"
        )
        await merchant.rows(CLOSE, today)
        outcome = await merchant.post(poster, batch.rows.arguments())
        with caught(twin, "posted into a closed day"):
            assert outcome == "KF005", "posted into a closed day"
            assert (await merchant.rows(HELD))[0][0] == 0
        await merchant.rows(CLOSE.replace("$2", "null::date"))


@both(UNSHARED)
async def test_INV_a_closing_waits_for_a_post_that_is_on_its_way(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    schema = await schema_of(database, "post_v2", twin)
    dials = [kit.connect(database, schema), kit.connect(database), kit.admin(database)]
    async with shop(database) as merchant, kit.lines(*dials) as (poster, closer, watcher):
        card = await merchant.card(100)
        batch = await merchant.fold(poster, [merchant.command(sale(), card)])
        async with poster.transaction():
            assert await merchant.post(poster, batch.rows.arguments()) == []
            hold = closer.execute(SQL["days.hold"], merchant.merchant_id, merchant.store_id)
            task = asyncio.create_task(hold)
            with caught(twin, "overtook"):
                done = await kit.done_or_waits(watcher, task, closer.get_server_pid())
                assert not done, "the closing overtook a post"
        await task


async def closes_before(merchant: Shop, tap: Tap) -> date:
    """Let the merchant's day close right before the next post; the day."""
    query = "select max(business_date) from operation where merchant_id = $1"
    [[today]] = await merchant.rows(query)
    assert isinstance(today, date)
    posts = tap.posts

    async def close(number: int) -> None:
        if number == posts + 1:
            await merchant.rows(f"{CLOSE} and store_id = $3", today, merchant.store_id)
            await merchant.rows("update merchant set epoch = epoch + 1 where merchant_id = $1")

    tap.before = close
    return today


async def sold_on(merchant: Shop) -> dict[str, date]:
    """The day of each store's sale."""
    query = "select store_id, business_date from operation where merchant_id = $1"
    return {row[0]: row[1] for row in await merchant.rows(f"{query} and kind = 'redeem'")}


@pytest.mark.parametrize("locked", [False, True])
async def test_a_sale_that_meets_a_closing_is_of_the_next_day(
    database: embedded.Server, locked: bool
) -> None:
    """The writer answers KF005 itself: on fresh terms the sale is of the first open day."""
    tap = Tap()
    async with shop(database, {"tap": tap}) as merchant:
        card = await merchant.card(100)
        if locked:  # as after a miss: the attempt locks the card first, in a transaction
            merchant.writer._contention[merchant.merchant_id, card.number] = math.inf
        today = await closes_before(merchant, tap)
        assert (await merchant.redeem(card, 30))["http"] == 201
        assert await sold_on(merchant) == {merchant.store_id: today + DAY}
        await merchant.require_whole()


async def test_a_closing_at_one_store_moves_no_sale_of_another(database: embedded.Server) -> None:
    """Both are in one post, which fails as a whole; both are answered."""
    tap = Tap()
    async with shop(database, {"tap": tap}) as merchant:
        cards = [await merchant.card(100) for _ in range(2)]
        made = await stores.create(
            merchant.pool, merchant.merchant_id, "二店", "青禾", kit.ZONE, time(4)
        )
        today = await closes_before(merchant, tap)
        commands = [merchant.redeeming(card, 30) for card in cards]
        commands[1].store_id = made.store_id
        answers = await asyncio.gather(*map(merchant.writer.submit, commands))
        assert [kit.status_of(answer) for answer in answers] == [201, 201]
        assert await sold_on(merchant) == {merchant.store_id: today + DAY, made.store_id: today}
        await merchant.require_whole()


async def test_a_closing_moves_no_sale_of_the_company_it_is_posted_in(
    database: embedded.Server,
) -> None:
    """Two merchants share a call; the first one's day closes right before it."""
    tap = Tap()
    async with shop(database, {"tap": tap}) as first, shop(database) as second:
        cards = [await first.card(100), await second.card(100)]
        today = await closes_before(first, tap)
        commands = [first.redeeming(cards[0], 30), second.redeeming(cards[1], 30)]
        answers = await asyncio.gather(*map(first.writer.submit, commands))
        assert [kit.status_of(answer) for answer in answers] == [201, 201]
        assert await sold_on(first) == {first.store_id: today + DAY}
        assert await sold_on(second) == {second.store_id: today}
        for merchant in (first, second):
            await merchant.require_whole()
