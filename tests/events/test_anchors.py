"""Anchors tell what a chain was, to whoever rewrote it whole. INV-D12, THREAT-T23."""

from pathlib import Path

import asyncpg
import msgspec
import pytest

from service.events import anchors
from service.events.anchors import Anchor, Anchors
from service.kernel import database as databases
from tests.events.conftest import breaches, number, tamper
from tests.ledger.rules.kit import Shop

# Every segment sealed anew over what the tables say now, by who owns the database.
MADE_ANEW = """
do $$
declare
  s segment;
  v_hash bytea := decode(repeat('00', 32), 'hex');
begin
  for s in select * from segment order by segment_no loop
    s.digest := sha256(convert_to(chain_lines_v1(s.merchant_id, s.entries), 'UTF8'));
    v_hash := chain_hash_v1(
      s.merchant_id, s.segment_no, s.first_seq, s.last_seq, s.sealed_at, s.digest, v_hash);
    update segment set digest = s.digest, hash = v_hash where segment_no = s.segment_no;
  end loop;
  update chain_head set hash = v_hash;
end
$$
"""
OTHER_AMOUNTS = "update audit_entry set actor_id = 'nobody'"
# The chain ends one segment earlier, and nothing tells of it.
CUT = (
    "with gone as (delete from segment where segment_no = (select max(segment_no) from segment)"
    " returning entries) delete from operation using gone where operation_id = any (entries)",
    "update chain_head h set segment_no = s.segment_no, last_seq = s.last_seq, hash = s.hash"
    " from (select * from segment order by segment_no desc limit 1) s",
)


async def keep(shop: Shop, kept: Anchors) -> None:
    """Write down where the chains end."""
    connection = await databases.connect_sequencer(shop.server.app_dsn)
    try:
        await kept.keep(connection)
    finally:
        await connection.close()


async def told(shop: Shop, folder: Path) -> list[str]:
    """What `verify` says of the anchors."""
    connection = await asyncpg.connect(shop.server.owner_dsn)
    try:
        return [breach.detail for breach in await anchors.breaches(connection, folder)]
    finally:
        await connection.close()


def lines(folder: Path) -> list[Anchor]:
    """All that is written there."""
    return [anchor for listed in anchors.read(folder).values() for anchor in listed]


async def test_a_chain_made_anew_is_found(merchant: Shop, tmp_path: Path) -> None:
    await keep(merchant, Anchors(tmp_path, 0))
    assert await told(merchant, tmp_path) == []
    await tamper(merchant, OTHER_AMOUNTS)
    assert await breaches(merchant, "INV-D12")
    await tamper(merchant, MADE_ANEW)
    assert not await breaches(merchant, "INV-D11", "INV-D12"), "the tampering is a good one"
    [found] = await told(merchant, tmp_path)
    assert "is not what an anchor" in found


async def test_a_tail_that_was_cut_is_found(merchant: Shop, tmp_path: Path) -> None:
    await keep(merchant, Anchors(tmp_path, 0))
    await tamper(merchant, *CUT)
    assert not await breaches(merchant, "INV-D11", "INV-D12"), "the tampering is a good one"
    [found] = await told(merchant, tmp_path)
    assert "is gone" in found


async def test_a_chain_is_written_down_once_each_time_it_moved(
    merchant: Shop, tmp_path: Path
) -> None:
    kept = Anchors(tmp_path, 0)
    await keep(merchant, kept)
    await keep(merchant, kept)
    [first] = lines(tmp_path)
    assert (await merchant.redeem(await merchant.card(100), 1))["http"] == 201
    await number(merchant)
    await keep(merchant, kept)
    assert [anchor.segment_no for anchor in lines(tmp_path)] == [
        first.segment_no,
        first.segment_no + 1,
    ]


async def test_it_is_not_written_before_its_time(merchant: Shop, tmp_path: Path) -> None:
    kept = Anchors(tmp_path, 1_000)
    await keep(merchant, kept)
    await merchant.card(100)
    await number(merchant)
    await keep(merchant, kept)
    assert len(lines(tmp_path)) == 1


async def test_a_line_that_a_crash_tore_is_taken_away(merchant: Shop, tmp_path: Path) -> None:
    await keep(merchant, Anchors(tmp_path, 0))
    [file] = tmp_path.glob("*.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:20])
    assert lines(tmp_path) == [msgspec.json.decode(whole, type=Anchor)]
    await merchant.card(100)
    await number(merchant)
    await keep(merchant, Anchors(tmp_path, 0))
    assert file.read_bytes().startswith(whole + b'{"merchant_id"')
    assert await told(merchant, tmp_path) == []


async def test_a_line_that_is_no_anchor_is_named(merchant: Shop, tmp_path: Path) -> None:
    await keep(merchant, Anchors(tmp_path, 0))
    [file] = tmp_path.glob("*.jsonl")
    file.write_bytes(b"{}\n" + file.read_bytes())
    with pytest.raises(ValueError, match="line 1 is no anchor"):
        anchors.read(tmp_path)
