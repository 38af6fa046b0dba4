"""Rule 13: statements first planned on (nearly) empty tables go by index when these are full."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from service.kernel import embedded
from service.kernel.ids import new_id
from service.ledger.commands import Refund
from tests.ledger import scratch
from tests.ledger.rules import kit
from tests.ledger.rules.kit import both, caught, schema_of

FILL = """
insert into card
select c.merchant_id, 'crd_' || n, '8811' || lpad(n::text, 12, '0'), c.template_id, 1, 'CNY',
  'active', 1, 0, 0, c.activated_at, null, null, c.last_operation_at, c.created_at
from card c, generate_series(1, 3000) n;
insert into lot
select c.merchant_id, c.card_id, 'lot_' || c.card_id, 'principal', 'CNY', 1, 0, null, null,
  (select min(operation_id) from operation), c.created_at
from card c where length(c.card_id) < 12;
insert into operation
select (jsonb_populate_record(x.o, jsonb_build_object('operation_id', 'rdm_' || n))).*
from (select o from operation o where kind = 'redeem' limit 1) x, generate_series(1, 3000) n;
insert into redemption
select (jsonb_populate_record(x.r,
  jsonb_build_object('redemption_id', 'rdm_' || n, 'request_no', 'FILL-' || n))).*
from (select r from redemption r limit 1) x, generate_series(1, 3000) n;
"""
# A movement touches a handful of rows; a walk through a merchant's is thousands, by index or not.
SCANNED = """select relname from pg_stat_xact_user_tables
where (seq_scan > 0 or idx_tup_fetch > 200) and relname in
('card', 'lot', 'operation', 'posting', 'leg', 'redemption', 'idempotency_key', 'store')"""


WALKS = (
    (
        " and r.store_id = q.store_id and r.request_no = q.request_no offset 0) r)",
        " offset 0) r where r.store_id = q.store_id and r.request_no = q.request_no)",
    ),
)


async def plainly(server: embedded.Server) -> Any:
    """A connection with the server's own settings."""
    return await asyncpg.connect(server.app_dsn)


async def every_movement(merchant: kit.Shop, line: Any, card: Any) -> None:
    """What a till does all day, as the writer posts it."""
    made: list[str] = []

    def remembering(prefix: str) -> str:
        made.append(new_id(prefix))
        return made[-1]

    both_ways = [merchant.redeeming(card, 10), merchant.topping_up(card, 5)]
    batch = await merchant.fold(line, both_ways, remembering)
    assert await merchant.post(line, batch.rows.arguments()) == []
    redeemed = next(name for name in made if name.startswith("rdm"))
    refund = merchant.command(Refund(redeemed, 3, "CNY", {}, None), card)
    batch = await merchant.fold(line, [refund])
    assert await merchant.post(line, batch.rows.arguments()) == []


async def scanned(line: Any, movements: Awaitable[None]) -> set[str]:
    """Hot tables that the connection itself reads from end to end while this happens.

    A merchant's part of an index is an end, too.
    """
    await line.fetch("select pg_stat_force_next_flush()")
    await line.fetch("select 1")
    async with line.transaction():
        await movements
        return {row["relname"] for row in await line.fetch(SCANNED)}


async def walking(server: embedded.Server) -> Any:
    """A read that leaves the planner the choice of walking through all of a merchant's rows."""
    return await kit.connect(server, await schema_of(server, "read_state_v1", WALKS))


@both(plainly, walking)
async def test_rule_13_plans_made_on_empty_tables_use_indexes(
    original: embedded.Server, twin: Callable[[embedded.Server], Awaitable[Any]] | None
) -> None:
    async with scratch.clone(original) as database:
        # Statistics that arrive by themselves would have everything planned again.
        await scratch.execute(
            database.owner_dsn,
            *(
                f"alter table {name} set (autovacuum_enabled = off)"
                for name in ("card", "lot", "operation", "posting")
            ),
        )
        dials = (twin or kit.connect)(database), kit.admin(database)
        async with kit.shop(database) as merchant, kit.lines(*dials) as (line, admin):
            card = await merchant.card(1_000)
            await admin.execute("vacuum analyze")  # one page each: to read it all is the cheapest
            for _ in range(8):  # past the five calls that PostgreSQL plans one by one
                await every_movement(merchant, line, card)
            await admin.execute(FILL)
            found = await scanned(line, every_movement(merchant, line, card))
            with caught(twin, "from end to end"):
                assert not found, f"read from end to end: {found}"
