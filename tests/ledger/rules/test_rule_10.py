"""Rule 10: counters that cards share are not version-gated; summed deltas never pass the cap."""

import asyncio

from service.kernel import embedded
from service.kernel.ids import new_id
from service.ledger.commands import Command, Issue
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Shop, both, caught, schema_of, shop

# A counter as a gated row: busy or moved means decide again.
GATED = (
    (
        "  -- 2. Keys first",
        """  if cardinality(p_counters) > 0 and not exists (
    select from template_counter t where t.merchant_id = p_merchant
    for no key update skip locked) then
    return array(select distinct c.component from unnest(p_counters) c);
  end if;
  -- 2. Keys first""",
    ),
)
# Each delta by itself: of several for one row, an UPDATE applies one.
NOT_SUMMED = (
    ("sum(x.delta)::bigint as delta", "x.delta"),
    ("group by x.template_id, x.counter order", "order"),
)
# The cap is left to Python, which read it earlier.
UNCAPPED = (("and (t.cap is null or t.used + d.delta <= t.cap)", ""),)


def issuing(merchant: Shop) -> Command:
    """A new card."""
    card_id = new_id("crd")
    number = f"8800{int(card_id[-8:], 32):012d}"
    command = merchant.command(Issue(merchant.template_id, card_id, number, True), None)
    command.card_number = number
    return command


async def used(merchant: Shop) -> int:
    """What the counter says."""
    return int(
        (await merchant.rows("select used from template_counter where merchant_id = $1"))[0][0]
    )


@both(GATED)
async def test_rule_10_a_busy_counter_is_no_miss(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    schema = await schema_of(database, "post_v2", twin)
    dials = [kit.connect(database, schema) for _ in range(2)]
    async with shop(database) as merchant, kit.lines(*dials, kit.admin(database)) as lines:
        first, second, watcher = lines
        batches = [await merchant.fold(line, [issuing(merchant)]) for line in (first, second)]
        async with first.transaction():
            assert await merchant.post(first, batches[0].rows.arguments()) == []
            task = asyncio.create_task(merchant.post(second, batches[1].rows.arguments()))
            await kit.done_or_waits(watcher, task, second.get_server_pid())
        with caught(twin, "decided again"):
            assert await task == [], "a counter made a command be decided again"
            assert await used(merchant) == 2


@both(NOT_SUMMED)
async def test_rule_10_the_deltas_of_a_batch_are_summed(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    schema = await schema_of(database, "post_v2", twin)
    async with shop(database) as merchant, kit.lines(kit.connect(database, schema)) as (poster,):
        batch = await merchant.fold(poster, [issuing(merchant) for _ in range(3)])
        assert await merchant.post(poster, batch.rows.arguments()) == []
        with caught(twin, "cards are not counted"):
            assert await used(merchant) == 3, "cards are not counted"


@both(UNCAPPED)
async def test_rule_10_a_cap_that_was_reached_meanwhile_holds(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """The function says KF004, which the writer knows how to answer.

    The table's CHECK would be a fault.
    """
    schema = await schema_of(database, "post_v2", twin)
    async with (
        shop(database, max_cards=2) as merchant,
        kit.lines(kit.connect(database, schema)) as (poster,),
    ):
        batch = await merchant.fold(poster, [issuing(merchant) for _ in range(2)])
        await merchant.card()
        outcome = await merchant.post(poster, batch.rows.arguments())
        with caught(twin, "not as a counter"):
            assert outcome == "KF004", "failed not as a counter that is full"
        assert await used(merchant) == 1


async def test_rule_10_the_last_cards_go_to_whoever_comes_first(database: embedded.Server) -> None:
    """Twenty at once over two workers for five cards: five issued, fifteen refused, none fails."""
    async with shop(database, {"lanes": 3}, max_cards=5) as merchant:
        async with kit.desk(database, merchant.credential, merchant.store_id) as other:
            commands = [issuing(merchant) for _ in range(20)]
            writers = [merchant.writer, other.writer] * 10
            answers = await asyncio.gather(
                *(writer.submit(command) for writer, command in zip(writers, commands, strict=True))
            )
        statuses = sorted(kit.status_of(answer) for answer in answers)
        assert statuses == [201] * 5 + [409] * 15
        assert await used(merchant) == 5
        await merchant.require_whole()
