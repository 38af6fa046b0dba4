"""What is sealed can't be changed unnoticed, and the chain of a merchant can't fork.

INV-D11, INV-D12, THREAT-T23.
"""

import asyncio
from typing import Any

import asyncpg
import pytest

from service.audit import operations as audit
from service.kernel import database as databases
from service.kernel.sql import SQL
from tests.events.conftest import breaches, number, tamper
from tests.ledger.rules import kit
from tests.ledger.rules.kit import Shop

WRITERS, TURNS = 16, 12
LAST = "(select max({column}) from {table} where {where})"
SALE = "kind = 'redeem' and status = 'accepted'"

ALTERATIONS = {
    "amount": "update operation set amount = amount + 1 where " + SALE,
    "operator": "update operation set operator = '0417' where " + SALE,
    "who": "update operation set api_key_id = 'key_other' where " + SALE,
    "user": "update operation set user_id = 'usr_other' where " + SALE,
    "when": "update operation set occurred_at = occurred_at - interval '1 s' where " + SALE,
    "reasons": "update operation set details = '{}' where status = 'refused'",
    "day": "update operation set business_date = business_date - 1 where " + SALE,
    "posting": "update posting set amount = amount + 1",
    "postings_lot": "update posting set lot_id = lot_id || 'x'",
    "posting_gone": "delete from posting where posting_no = 1",
    "leg": "update leg set bonus = bonus + 1",
    "leg_gone": "delete from leg where version = 3",
    "actor": "update audit_entry set actor_id = 'nobody'",
    "change": """update audit_entry set after = '{"name": "三店"}'""",
    "place": "update audit_entry set address = '203.0.113.9'",
    "digest": "update segment set digest = sha256('other')",
    "hash": "update segment set hash = sha256('other') where segment_no = 1",
    "sealed_at": "update segment set sealed_at = sealed_at + interval '1 s'",
    "order": "update segment set entries = array(select unnest(entries) order by 1 desc)"
    " where cardinality(entries) > 1",
    "segment_gone": "delete from segment where segment_no = 2",
    "end_gone": "delete from segment where segment_no = (select max(segment_no) from segment)",
    "head": "update chain_head set last_seq = last_seq + 1",
}


async def test_the_chain_is_whole(merchant: Shop) -> None:
    await merchant.require_whole()
    [[operations, entries, last_seq, waiting]] = await merchant.rows(
        "select (select count(*) from operation where merchant_id = $1),"
        " (select count(*) from audit_entry where merchant_id = $1),"
        " (select last_seq from chain_head where merchant_id = $1),"
        " (select count(*) from unsequenced where merchant_id = $1)"
    )
    assert operations >= 9
    assert entries >= 4
    assert (last_seq, waiting) == (operations + entries, 0)


@pytest.mark.parametrize("name", ALTERATIONS)
async def test_an_alteration_is_found(name: str, merchant: Shop) -> None:
    await tamper(merchant, ALTERATIONS[name])
    assert await breaches(merchant, "INV-D12")


REMOVALS = {
    "operation": ["delete from operation where " + SALE],
    "entry": ["delete from audit_entry where action = 'store.created'"],
    # An operation that was never posted: it has no number.
    "inserted": [
        "insert into operation select * from jsonb_populate_record(null::operation,"
        ' (select to_jsonb(o) || \'{"operation_id": "rdm_forged"}\' from operation o'
        f" where {SALE} limit 1))"
    ],
    "twice": [
        "insert into unsequenced (merchant_id, operations)"
        " select merchant_id, array[operation_id] from operation limit 1"
    ],
}


@pytest.mark.parametrize("name", REMOVALS)
async def test_what_comes_and_goes_is_found(name: str, merchant: Shop) -> None:
    await tamper(merchant, *REMOVALS[name])
    assert await breaches(merchant, "INV-D11")


async def test_the_order_of_a_card_is_held(merchant: Shop) -> None:
    """A chain made anew over the same events in another order is as good; their order isn't."""
    assert not await breaches(merchant, "INV-D11")
    await tamper(
        merchant,
        "update segment set entries = array(select unnest(entries) order by 1 desc)"
        " where cardinality(entries) > 1",
        "update segment s set digest = sha256(convert_to(chain_lines_v1(merchant_id, entries),"
        " 'UTF8'))",
    )
    assert await breaches(merchant, "INV-D11")


async def _append(shop: Shop, connection: Any, turn: int) -> None:
    """A change of the configuration, audited."""
    async with connection.transaction():
        await connection.execute(SQL["tenant.set"], shop.merchant_id)
        await audit.record_operator(
            connection, shop.merchant_id, "store.created", None, after={"turn": turn}
        )


async def _write(shop: Shop, writer: int) -> None:
    connection = await databases.connect_sequencer(shop.server.app_dsn)
    try:
        for turn in range(TURNS):
            if writer % 2:
                await _append(shop, connection, turn)
            else:
                await connection.fetchval(SQL["chain.sequence"], [shop.merchant_id])
    finally:
        await connection.close()


@pytest.mark.parametrize("broken", [False, True], ids=["product", "twin"])
async def test_sixteen_writers_never_fork_the_chain(broken: bool, merchant: Shop) -> None:
    """They wait for each other at its end; without that, the keys refuse what would be a fork."""
    if broken:
        owner = await asyncpg.connect(merchant.server.owner_dsn)
        text = await owner.fetchval("select pg_get_functiondef('chain_open_v1'::regproc)")
        assert "for no key update" in text
        await owner.execute(text.replace("for no key update", ""))
        await owner.close()
    card = await merchant.card(1_000)

    async def sell() -> None:
        for _ in range(TURNS):
            assert (await merchant.redeem(card, 1))["http"] == 201

    done = await asyncio.gather(
        sell(), *(_write(merchant, writer) for writer in range(WRITERS)), return_exceptions=True
    )
    failed = [error for error in done if error is not None]
    assert bool(failed) is broken, failed
    assert {type(error) for error in failed} <= {asyncpg.UniqueViolationError}
    await number(merchant)
    await merchant.require_whole()


async def test_a_chain_takes_in_what_was_before_it(merchant: Shop) -> None:
    """Operations of a version that had no chain are numbered first, each card's in its order."""
    await tamper(
        merchant, "delete from segment", "delete from chain_head", "delete from audit_entry"
    )
    card = await merchant.card(500)
    assert (await merchant.redeem(card, 1))["http"] == 201
    assert not await breaches(merchant, "INV-D11", "INV-D12")  # not begun: nothing to check
    await tamper(
        merchant, "delete from unsequenced where post_no = (select min(post_no) from unsequenced)"
    )
    await number(merchant)
    await merchant.require_whole()
    [[operations, last_seq]] = await merchant.rows(
        "select (select count(*) from operation where merchant_id = $1),"
        " (select last_seq from chain_head where merchant_id = $1)"
    )
    assert operations == last_seq


async def test_what_piled_up_is_numbered_in_parts(merchant: Shop) -> None:
    """Each part in a segment of its own, so that nobody waits long; all of it, each once."""
    card = await merchant.card(10_000)
    await number(merchant)
    async with kit.lines(merchant.connection()) as (line,):
        for _ in range(7):
            sales = [merchant.redeeming(card, 1) for _ in range(100)]
            batch = await merchant.fold(line, sales)
            assert await merchant.post(line, batch.rows.arguments()) == []
    count = "select count(*) from segment where merchant_id = $1"
    [[before]] = await merchant.rows(count)
    numbered = await number(merchant)
    [[after]] = await merchant.rows(count)
    assert (numbered, after - before) == (700, 3)
    await merchant.require_whole()


async def test_the_application_can_only_append(merchant: Shop) -> None:
    """It may call what numbers and audits; it may write no chain itself."""
    connection = await databases.connect_sequencer(merchant.server.app_dsn)
    try:
        for statement in (
            "insert into segment select * from segment",
            "update chain_head set last_seq = 0",
            "delete from unsequenced",
            "delete from audit_entry",
            "insert into audit_entry select * from audit_entry",
            f"select chain_append_v1('{merchant.merchant_id}', array['opn_forged'])",
            f"select chain_open_v1('{merchant.merchant_id}')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
