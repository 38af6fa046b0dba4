"""Rule 3: a version is read with, or before, anything else of its row's state; never after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from service.cards import store as cards
from service.kernel import database as databases
from service.kernel import embedded
from service.ledger import snapshot as snapshots
from service.ledger.commands import Refund
from service.ledger.reading import Reading, reading
from tests.ledger.rules import kit
from tests.ledger.rules.kit import both, caught, schema_of, shop

GATE = 311
# Stops the read where its statements meet: the one place where something may come in between.
SELECT = "  with found as materialized (\n"
PAUSED = ((SELECT, f"  perform pg_advisory_xact_lock({GATE});\n{SELECT}"),)
APART = ("language plpgsql\nstable\n", "language plpgsql\n")
LOTS_FIRST = (
    APART,
    ("as $$\nbegin\n", "as $$\ndeclare\n  v_lots lot_row_v1[];\nbegin\n"),
    (
        SELECT,
        f"""  v_lots := array(
    select row(
      l.card_id, l.lot_id, l.account, l.unit, l.amount, l.remaining, l.expires_at, l.expires_on
    )::lot_row_v1
    from card c join lot l on l.merchant_id = p_merchant and l.card_id = c.card_id
    where c.merchant_id = p_merchant and c.card_number = any (p_card_numbers));
  perform pg_advisory_xact_lock({GATE});
{SELECT}""",
    ),
    ("array(select row(l.card_id", "case when true then v_lots else array(select row(l.card_id"),
    (
        "and l.remaining > 0 offset 0) l),\n    array(select row(k.",
        "and l.remaining > 0 offset 0) l) end,\n    array(select row(k.",
    ),
)


@both(LOTS_FIRST)
async def test_rule_03_lots_are_never_older_than_their_version(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """130 of 100: lots from before a redemption of 30 with the version from after it."""
    schema = await schema_of(database, "read_state_v1", twin or PAUSED)
    dials = kit.connect(database, schema), kit.admin(database), kit.admin(database)
    async with shop(database) as merchant, kit.lines(*dials) as (reader, gate, watcher):
        card = await merchant.card(100)
        command = merchant.redeeming(card, 100)
        await gate.execute("select pg_advisory_lock($1)", GATE)
        read = snapshots.read(reader, merchant.merchant_id, [command], lock=False)
        task = asyncio.create_task(read)
        assert not await kit.done_or_waits(watcher, task, reader.get_server_pid())
        await merchant.redeem(card, 30)
        await gate.execute("select pg_advisory_unlock($1)", GATE)
        state = await task
        assert state is not None
        found = state.cards[card.number]
        with caught(twin, "older than their version"):
            lots = sum(lot.remaining for lot in found.lots)
            assert lots == found.principal, "lots are older than their version"


SECOND = "  if cardinality(p_operations) > 0 then\n"
PAUSED_BETWEEN = ((SECOND, f"  perform pg_advisory_xact_lock({GATE});\n{SECOND}"),)


@both((APART, *PAUSED_BETWEEN))
async def test_rule_03_all_that_is_read_is_of_one_instant(
    database: embedded.Server, twin: kit.Swaps | None
) -> None:
    """Value is given back between two statements of the read: all of it shows in both, or none.

    Else a lot that was empty for the first and isn't for the second is lost, and a refusal is
    decided on a redemption that is newer than the version of the card it is recorded with.
    """
    schema = await schema_of(database, "read_state_v1", twin or PAUSED_BETWEEN)
    dials = kit.connect(database, schema), kit.admin(database), kit.admin(database)
    async with shop(database) as merchant, kit.lines(*dials) as (reader, gate, watcher):
        card = await merchant.card(100)
        sold = await merchant.redeem(card, 100)
        command = merchant.command(Refund(sold["id"], 10, "CNY", {}, None), card)
        await gate.execute("select pg_advisory_lock($1)", GATE)
        read = snapshots.read(reader, merchant.merchant_id, [command], lock=False)
        task = asyncio.create_task(read)
        assert not await kit.done_or_waits(watcher, task, reader.get_server_pid())
        await merchant.refund(card, sold["id"], 40)
        await gate.execute("select pg_advisory_unlock($1)", GATE)
        state = await task
        assert state is not None
        found = state.cards[card.number]
        with caught(twin, "of two instants"):
            assert state.redemptions[sold["id"]].refunded == found.principal, "of two instants"
            lots = [lot.lot_id for lot in found.lots]
            needed = {entry[0] for entry in state.redemptions[sold["id"]].allocation}
            assert needed == set(lots), "a lot was lost"
            assert len(lots) == len(set(lots))


class Between:
    """A connection that lets something happen before it fetches rows."""

    def __init__(self, inner: Any, happening: Any) -> None:
        self.inner = inner
        self.happening = happening

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def fetch(self, *arguments: Any) -> Any:
        await self.happening()
        return await self.inner.fetch(*arguments)


@asynccontextmanager
async def each_statement_for_itself(
    pool: Any, merchant_id: str, *, snapshot: bool = False
) -> AsyncIterator[Any]:
    """A tenant's transaction that forgets to take one snapshot."""
    async with databases.tenant(pool, merchant_id, snapshot=False) as connection:
        yield connection


@both(each_statement_for_itself)
async def test_rule_03_a_card_is_shown_as_of_one_instant(
    database: embedded.Server, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Card and lots are two statements of a GET: they must see one state."""
    async with shop(database) as merchant:
        card = await merchant.card(100)
        state = SimpleNamespace(pool=merchant.pool, terms=merchant.terms)
        call: Any = SimpleNamespace(
            credential=merchant.credential, state=state, scope="cards:write"
        )

        async def redeem() -> None:
            await merchant.redeem(card, 30)

        if twin:
            module = SimpleNamespace(**{**vars(databases), "tenant": twin})
            monkeypatch.setattr("service.ledger.reading.database", module)
        async with reading(call) as tenant:
            between: Any = Between(tenant.connection, redeem)
            found = await cards.by_id(Reading(between, tenant.merchant), card.card_id)
        assert found is not None
        with caught(twin, "two states of one card"):
            lots = sum(lot.remaining for lot in found.lots)
            assert lots == found.principal, "two states of one card"
