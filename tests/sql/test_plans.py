"""What walks or searches a long ledger goes by index, whatever plan the server keeps for it."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import asyncpg
import pytest
from msgspec import Struct

from service.kernel import embedded
from service.kernel.database import READER_SETTINGS
from service.kernel.sql import SQL
from tests.bench import seed
from tests.bench.seed import Merchant

CARDS, OPERATIONS = 500, 60_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = (BEGIN + timedelta(seconds=40), "rdm_" + "0" * 26)
LATE = "rdm_" + f"{1:020}" + f"{OPERATIONS // CARDS:06}"
PERIOD = (BEGIN + timedelta(seconds=118), BEGIN + timedelta(seconds=120))

# A member for each card, and one for all the others; each card was the next member's before.
MEMBERS = """
insert into member (merchant_id, member_id, external_id, phone_index, masked_phone, created_at)
select $1, 'mbr_' || n, 'wx-' || n, sha256(n::text::bytea), '138****8000', clock_timestamp()
from generate_series(1, 20000) n
"""
BINDINGS = """
insert into card_binding (merchant_id, card_id, binding_no, member_id, bound_version, bound_at,
  bound_by, unbound_at, unbound_by)
select merchant_id, card_id, part, 'mbr_' || n + 1 - part / 2, 1, clock_timestamp(), 'key_1',
  case part when 1 then clock_timestamp() end, case part when 1 then 'key_1' end
from (select *, row_number() over (order by card_id) as n from card where merchant_id = $1) c,
  generate_series(1, 2) part
"""

Node = dict[str, Any]


class Ledger(Struct):
    """A seeded merchant's ledger, read as the application does."""

    merchant: Merchant
    connection: asyncpg.Connection

    async def nodes(self, query: str, *arguments: Any, generic: bool) -> list[Node]:
        """The steps of a query's plan, with what they really did."""
        async with self.connection.transaction():
            await self.connection.execute(SQL["tenant.set"], self.merchant.merchant_id)
            mode = "force_generic_plan" if generic else "force_custom_plan"
            await self.connection.execute(f"set local plan_cache_mode = {mode}")
            told = await self.connection.fetchval(
                f"explain (analyze, format json) {SQL[query]}",
                self.merchant.merchant_id,
                *arguments,
            )
        return list(flat(json.loads(told)[0]["Plan"]))


def flat(node: Node) -> Iterator[Node]:
    """A step and those below it."""
    yield node
    for below in node.get("Plans", ()):
        yield from flat(below)


def walked(nodes: list[Node], table: str = "operation") -> float:
    """The most rows of a table that one step read, those it threw away included."""
    read = [node for node in nodes if node.get("Relation Name") == table]
    rows = [node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in read]
    return max(float(each * node["Actual Loops"]) for each, node in zip(rows, read, strict=True))


@pytest.fixture(name="ledger", scope="module")
async def _ledger(postgres: embedded.Server) -> AsyncIterator[Ledger]:
    async with seed.superuser(postgres.admin_dsn) as admin:
        (merchant,) = await seed.seed(admin, 1, CARDS, OPERATIONS)
        terminals = "'T' || substr(operation_id, 24, 1)"
        await admin.execute(
            f"update operation set terminal_id = {terminals} where merchant_id = $1",
            merchant.merchant_id,
        )
        third = "refused", merchant.merchant_id, f"%{3:06}"
        refuse = "update operation set status = $1 where merchant_id = $2 and operation_id like $3"
        await admin.execute(refuse, *third)
        await admin.execute("vacuum analyze operation")
        await admin.execute(MEMBERS, merchant.merchant_id)
        await admin.execute(BINDINGS, merchant.merchant_id)
        await admin.execute("vacuum analyze member, card_binding, card, lot")
    connection = await asyncpg.connect(postgres.app_dsn, server_settings=READER_SETTINGS)
    yield Ledger(merchant, connection)
    await connection.close()


@pytest.mark.parametrize("generic", [False, True])
async def test_a_chunk_is_read_in_its_order(ledger: Ledger, generic: bool) -> None:
    for limit in (2, 1_001, 10_001):
        query = (*PLACE, BEGIN + timedelta(days=1), limit)
        nodes = await ledger.nodes("reports.operations", *query, generic=generic)
        assert not [node for node in nodes if "Sort" in node["Node Type"]]
        assert "operation_recorded_at" in {node.get("Index Name") for node in nodes}
        assert walked(nodes) <= limit
        assert walked(nodes, "leg") <= limit
        assert nodes[0]["Actual Rows"] == limit


@pytest.mark.parametrize("generic", [False, True])
async def test_the_last_of_a_terminal_is_found_at_once(ledger: Ledger, generic: bool) -> None:
    for terminal in ("T1", "none"):
        place = (ledger.merchant.store_id, terminal)
        nodes = await ledger.nodes("receipts.last_of_terminal", *place, generic=generic)
        assert "operation_terminal" in {node.get("Index Name") for node in nodes}
        # The seed gives many operations one instant; they are told apart by their ids.
        assert walked(nodes) <= CARDS + 1


async def test_a_receipt_reads_one_leg_of_a_card_that_has_many(ledger: Ledger) -> None:
    for generic in (False, True):
        nodes = await ledger.nodes("receipts.by_operation", LATE, generic=generic)
        assert walked(nodes, "leg") == 1


@pytest.mark.parametrize("generic", [False, True])
async def test_a_record_reads_what_it_shows(ledger: Ledger, generic: bool) -> None:
    card_id = f"crd_{7:026}"
    for after, limit in ((0, 11), (60, 51)):
        nodes = await ledger.nodes("records.movements", card_id, after, limit, generic=generic)
        for table in ("leg", "operation", "posting", "redemption"):
            assert walked(nodes, table) <= limit, table
        assert nodes[0]["Actual Rows"] == limit
    place = (BEGIN, "", 11)
    nodes = await ledger.nodes("records.refusals", card_id, *place, generic=generic)
    assert "operation_refused_card" in {node.get("Index Name") for node in nodes}
    assert walked(nodes) == 1
    nodes = await ledger.nodes("records.refusal_count", card_id, generic=generic)
    assert walked(nodes) == 1
    nodes = await ledger.nodes("records.totals", card_id, generic=generic)
    assert walked(nodes) <= walked(nodes, "leg") == OPERATIONS / CARDS


async def test_a_report_of_a_short_period_reads_that_period(ledger: Ledger) -> None:
    for query, arguments in (
        ("reports.flows", ("account", *PERIOD)),
        ("reports.settlements", PERIOD),
        ("reports.liability", ("account", PERIOD[0])),
    ):
        nodes = await ledger.nodes(query, *arguments, generic=False)
        read = [node for node in nodes if node.get("Index Name") == "operation_recorded_at"]
        assert read, query
        assert read[0]["Actual Rows"] <= 2 * CARDS


@pytest.mark.parametrize("generic", [False, True])
async def test_a_member_and_what_is_theirs_are_found_at_once(ledger: Ledger, generic: bool) -> None:
    connection, merchant_id = ledger.connection, ledger.merchant.merchant_id
    async with connection.transaction():
        await connection.execute(SQL["tenant.set"], merchant_id)
        [card, *_] = await connection.fetch(SQL["members.cards"], merchant_id, "mbr_7")
    card_id = card["card_id"]
    for query, arguments, index, table in (
        ("members.holders", ("wx-7", None), "member_external_id", "member"),
        ("members.holders", (None, sha256(b"7").digest()), "member_phone", "member"),
        ("members.page", ("mbr_~", 51), "member_pkey", "member"),
        ("members.cards", ("mbr_7",), "card_binding_member", "card_binding"),
        ("members.cards", ("mbr_7",), "card_pkey", "card"),
        ("members.count", ("mbr_7",), "card_binding_member", "card_binding"),
        ("members.holder", (card_id,), "card_binding_open", "card_binding"),
        ("members.lots", ([card_id],), "lot_pkey", "lot"),
        ("tenant.token_generation", ("mbr_7",), "member_pkey", "member"),
        ("tenant.visible_after", (card_id, "mbr_7"), "card_binding_pkey", "card_binding"),
    ):
        nodes = await ledger.nodes(query, *arguments, generic=generic)
        assert index in {node.get("Index Name") for node in nodes}, query
        assert walked(nodes, table) <= 60, query
