"""A day that closes: nothing decided before is posted into it, and no closing overtakes a post."""

import asyncio

from service.kernel import embedded
from service.kernel.sql import SQL
from service.ledger.commands import Redeem
from tests.ledger.rules import kit
from tests.ledger.rules.kit import both, caught, schema_of, shop

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
    schema = await schema_of(database, "post_v1", twin)
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
    schema = await schema_of(database, "post_v1", twin)
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


async def test_a_sale_that_meets_a_closing_is_of_the_next_day(database: embedded.Server) -> None:
    """The writer answers KF005 itself: on fresh terms the sale is of the first open day."""
    tap = kit.Tap()
    async with shop(database, {"tap": tap}) as merchant:
        card = await merchant.card(100)
        [[today]] = await merchant.rows(
            "select max(business_date) from operation where merchant_id = $1"
        )
        posts = tap.posts

        async def closing(number: int) -> None:
            if number == posts + 1:
                await merchant.rows(CLOSE, today)
                await merchant.rows("update merchant set epoch = epoch + 1 where merchant_id = $1")

        tap.before = closing
        assert (await merchant.redeem(card, 30))["http"] == 201
        days = await merchant.rows(
            "select business_date - $2::date from operation where merchant_id = $1"
            " and kind = 'redeem'", today,
        )  # fmt: skip
        assert [list(day) for day in days] == [[1]]
        await merchant.require_whole()
