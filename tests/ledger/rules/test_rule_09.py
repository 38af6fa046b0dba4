"""Rule 9: one merchant per post, the tenant set first, for this transaction only."""

import asyncio
import functools
from typing import Any

import pytest

from service.kernel import embedded
from service.kernel.coalescing import Lanes
from service.ledger import snapshot as snapshots
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Tap, both, caught, schema_of, shop

SET = "  perform set_config('kafang.merchant_id', p_merchant, true);\n"
NOT_SET = ((SET, ""),)
SET_TOO_LATE = (
    (SET, ""),
    ("  select * into", f"{SET}  select * into"),
)
COMMITTED = "    commit;\n"
SET_FOR_THE_SESSION = ((SET, SET.replace("true", "false")),)


class AllTogether(Lanes[str, str]):
    """Makes one batch of whatever a lane may take, whosever it is."""

    def _take(self, lane: int) -> Any:
        taken = super()._take(lane)
        if not taken:
            return None
        first, *_ = taken
        return {first: [member for members in taken.values() for member in members]}


@both(AllTogether)
async def test_rule_09_a_batch_holds_one_merchant(twin: type[Lanes[str, str]] | None) -> None:
    batches: list[tuple[str, list[str]]] = []

    async def settle(lane: int, taken: dict[str, list[Any]]) -> None:
        for tenant, members in taken.items():
            batches.append((tenant, [member.command for member in members]))
            for member in members:
                member.resolve(member.command)

    lanes = (twin or Lanes)(1, 10, 100, settle, lambda _member: RuntimeError("unsettled"), 10)
    commands = [("mer_a", "a1"), ("mer_b", "b1"), ("mer_a", "a2"), ("mer_b", "b2")]
    await asyncio.gather(*(lanes.submit(tenant, "card", text) for tenant, text in commands))
    await lanes.close()
    with caught(twin, "another merchant's command"):
        for tenant, texts in batches:
            assert all(text[0] == tenant[-1] for text in texts), "another merchant's command"
        assert [texts for _, texts in batches] == [["a1", "a2"], ["b1", "b2"]]


@pytest.mark.parametrize(
    ("twin", "lock"),
    [(None, False), (None, True), (NOT_SET, False), (NOT_SET, True), (SET_TOO_LATE, True)],
)
async def test_rule_09_a_read_sets_the_tenant_first(
    database: embedded.Server, twin: kit.Swaps | None, lock: bool
) -> None:
    """Without a tenant row-level security shows nothing, and what isn't seen isn't locked."""
    schema = await schema_of(database, "read_v1", twin)
    dials = kit.connect(database, schema), kit.admin(database)
    async with shop(database) as merchant, kit.lines(*dials) as (reader, other):
        card = await merchant.card(100)
        async with reader.transaction():
            state = await snapshots.read(
                reader, merchant.merchant_id, [merchant.redeeming(card, 1)], lock=lock
            )
            free = await other.fetch(
                "select from card where card_id = $1 for no key update skip locked", card.card_id
            )
        with caught(twin, "the tenant"):
            assert state is not None, "nothing is seen without the tenant"
            assert card.number in state.cards, "nothing is seen without the tenant"
            assert bool(free) is not lock, "locked without the tenant"


@both(NOT_SET)
async def test_rule_09_a_post_sets_the_tenant_first(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    schema = await schema_of(database, "post_v2", twin)
    async with shop(database) as merchant, kit.lines(kit.connect(database, schema)) as (poster,):
        card = await merchant.card(100)
        batch = await merchant.fold(poster, [merchant.redeeming(card, 30)])
        outcome = await merchant.post(poster, batch.rows.arguments())
        with caught(twin, "without its tenant"):
            assert outcome == [], "posted without its tenant"


@both(((COMMITTED, ""),))
async def test_rule_09_posts_that_share_a_call_are_transactions_of_their_own(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """One merchant's post waits for a lock; the one before it in the call is done, and seen."""
    schema = await schema_of(database, "post_many_v2", twin)
    tap = Tap()
    tap.on_connect = "set lock_timeout = '60s'"  # it waits for as long as the test needs
    options = {"schema": schema, "tap": tap}
    async with (
        shop(database, options) as first,
        shop(database) as second,
        kit.lines(kit.admin(database), kit.admin(database)) as (holder, watcher),
    ):
        cards = [await first.card(100), await second.card(100)]
        seen: list[int] = []
        async with holder.transaction():
            await holder.fetch(kit.HOLD, second.merchant_id)
            commands = [first.redeeming(cards[0], 30), second.redeeming(cards[1], 30)]
            tasks = [asyncio.create_task(first.writer.submit(command)) for command in commands]
            await kit.until(functools.partial(_blocks, watcher, holder), "a post to wait")
            seen.append(await first.held())
        answers = await asyncio.gather(*tasks)
        assert [kit.status_of(answer) for answer in answers] == [201, 201]
        with caught(twin, "not committed"):
            assert seen == [70], "the first post is not committed while the second one waits"
        for merchant in (first, second):
            assert await merchant.held() == 70
            await merchant.require_whole()


async def _blocks(watcher: Any, holder: Any) -> bool:
    """Whether somebody waits for the holder."""
    query = "select exists (select from pg_stat_activity where $1 = any (pg_blocking_pids(pid)))"
    return bool(await watcher.fetchval(query, holder.get_server_pid()))


@pytest.mark.parametrize("function", ["read_v1", "terms_v5", "post_v2"])
@both(SET_FOR_THE_SESSION)
async def test_rule_09_the_tenant_ends_with_the_transaction(
    database: embedded.Server, twin: kit.Swaps | None, function: str
) -> None:
    """A connection that serves one merchant after another must not remember one."""
    schema = await schema_of(database, function, twin)
    async with shop(database) as merchant, kit.lines(kit.connect(database, schema)) as (line,):
        card = await merchant.card(100)
        batch = await merchant.fold(line, [merchant.redeeming(card, 30)])
        await merchant.post(line, batch.rows.arguments())
        await merchant.terms.load(merchant.merchant_id, connection=line)
        with caught(twin, "still sees"):
            seen = await line.fetchval("select count(*) from card")
            assert seen == 0, "the connection still sees the last merchant's cards"
