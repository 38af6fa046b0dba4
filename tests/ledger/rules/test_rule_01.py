"""Rule 1: all or nothing per component.

A row that moved or is busy is a miss: never a wait, never half.
"""

import asyncio
from typing import Any

from service.kernel import embedded
from tests.ledger.rules import kit
from tests.ledger.rules.kit import both, caught, schema_of, shop

# One big statement whose arms check for themselves: what can be applied is, the rest is left out.
ARMS_CHECK_THEMSELVES = (
    ("if cardinality(v_held) < cardinality(p_guards) then", "if false then"),
    (
        "and c.card_id = i.card_id\n",
        "and c.card_id = i.card_id and c.version = i.version - 1\n",
    ),
    (
        "raise exception 'card images: % of %', v_rows, cardinality(p_cards)"
        " using errcode = 'KF003'",
        "null",
    ),
    ("from unnest(p_legs) g;", "from unnest(p_legs) g on conflict do nothing;"),
)
# A busy row is waited for.
WAITS = (
    (
        "order by c.card_id\n      for no key update of c skip locked",
        "order by c.card_id\n      for no key update of c",
    ),
)
LOCK = "select from card where card_id = $1 for no key update"


def as_one_component(arguments: tuple[Any, ...]) -> list[Any]:
    """The same rows, tied together: what is taken from one card is what the other gets."""
    merchant_id, *tables = arguments
    return [merchant_id, *([(1, *row[1:]) for row in table] for table in tables)]


@both(ARMS_CHECK_THEMSELVES)
async def test_rule_01_a_transfer_is_never_applied_by_half(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    schema = await schema_of(database, "post_v2", twin)
    async with shop(database) as merchant, kit.lines(kit.connect(database, schema)) as (poster,):
        payer, payee = await merchant.card(100), await merchant.card(100)
        commands = [merchant.redeeming(payer, 40), merchant.topping_up(payee, 40)]
        batch = await merchant.fold(poster, commands)
        await merchant.freeze(payee)  # moves on after it was read
        missed = await merchant.post(poster, as_one_component(batch.rows.arguments()))
        with caught(twin, "half of a transfer"):
            assert await merchant.held() == 200, "half of a transfer"
            assert missed == [1]
        if not twin:
            await merchant.require_whole()


@both(WAITS)
async def test_rule_01_a_busy_row_is_a_miss_and_holds_up_nobody_else(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    schema = await schema_of(database, "post_v2", twin)
    dials = kit.connect(database, schema), kit.admin(database), kit.admin(database)
    async with shop(database) as merchant, kit.lines(*dials) as (poster, holder, watcher):
        busy, free = await merchant.card(100), await merchant.card(100)
        commands = [merchant.redeeming(busy, 10), merchant.redeeming(free, 10)]
        batch = await merchant.fold(poster, commands)
        async with holder.transaction():
            await holder.execute(LOCK, busy.card_id)
            task = asyncio.create_task(merchant.post(poster, batch.rows.arguments()))
            done = await kit.done_or_waits(watcher, task, poster.get_server_pid())
            with caught(twin, "waits for a busy card"):
                assert done, "the whole batch waits for a busy card"
        assert await task == ([] if twin else [1])
