"""A card's record: whole, adding up, provable, in parts, and nobody else's (SPC art. 25)."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from service.kernel.embedded import Server
from service.kernel.paging import encode_cursor
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client
from tests.harness.tenant import Tenant
from tests.records import life
from tests.records.test_chain import checked

KINDS = {
    "issue", "activate", "top_up", "redeem", "refund", "void", "reversal", "freeze", "unfreeze",
    "lapse",
}  # fmt: skip
Record = dict[str, Any]


@pytest.fixture(name="record")
async def _record(office: Client, pos: Client, tenant: Tenant) -> Record:
    """The record of a card with every kind of movement."""
    return await life.fetched(pos, await life.whole(office, pos, tenant))


def out_of_step(record: Record, movements: list[Record]) -> list[str]:
    """Where sums, lines, credits and the card's own balance disagree."""
    found = []
    for total in record["totals"]:
        account = total["account"]
        deltas = [line[f"{account}_delta"] for line in movements]
        moved = sum(flow["value_in"] - flow["value_out"] for flow in total["flows"])
        held = sum(lot["remaining"] for lot in record["lots"] if lot["account"] == account)
        changed = sum(
            change["value"]
            for line in movements
            for change in line["lots"]
            if change["account"] == account
        )
        sums = {
            "flows": moved, "lines": sum(deltas), "closing": total["closing"], "credits": held,
            "changes of credits": changed, "after the last line": movements[-1][account],
        }  # fmt: skip
        found += [f"{account}: {sums}"] if len(set(sums.values())) > 1 else []
        for before, after in pairwise(movements):
            if before[account] + after[f"{account}_delta"] != after[account]:
                found.append(f"{account} after line {after['version']}")
    numbers = [line["version"] for line in movements]
    found += [] if numbers == list(range(1, record["movement_count"] + 1)) else [f"gap: {numbers}"]
    counted: dict[str, int] = {}
    for line in movements:
        counted[line["kind"]] = counted.get(line["kind"], 0) + 1
    told = {flow["kind"]: flow["operations"] for flow in record["totals"][0]["flows"]}
    return found + ([] if told == counted else [f"counts: {told}, {counted}"])


async def test_CN_S_25_all_of_a_card_is_there_and_adds_up(record: Record) -> None:
    assert {line["kind"] for line in record["movements"]} == KINDS
    assert out_of_step(record, record["movements"]) == []
    checked(record)
    assert [total["opening"] for total in record["totals"]] == [0, 0]
    assert record["movement_count"] == record["card"]["version"] == len(record["movements"])


@pytest.mark.parametrize("where", ["movements", "totals", "lots"])
async def test_what_does_not_add_up_is_seen(record: Record, where: str) -> None:
    if where == "totals":
        record["totals"][0]["flows"][2]["value_in"] += 1
    elif where == "lots":
        record["lots"][0]["remaining"] -= 1
    else:
        record["movements"][2]["principal_delta"] -= 1
    assert out_of_step(record, record["movements"])


async def test_it_says_what_each_movement_was(record: Record, office: Client) -> None:
    lines = record["movements"]
    by_kind = {line["kind"]: line for line in reversed(lines)}
    paid, sale = by_kind["top_up"], by_kind["redeem"]
    assert (paid["tender"], paid["payment_reference"]) == ("cash", "42-1")
    assert {name: sale[name] for name in life.TILL} == life.TILL
    assert [line["sku"] for line in sale["lines"]] == [line["sku"] for line in life.LINES]
    assert by_kind["refund"]["refunded_lines"] == [{"line_id": "1", "value": 3_000}]
    for kind in ("refund", "void", "reversal"):
        undone = lines[by_kind[kind]["undoes_version"] - 1]
        assert (undone["operation_id"], undone["kind"]) == (by_kind[kind]["undoes"], "redeem")
    assert by_kind["freeze"]["reason"] == "挂失"
    assert by_kind["lapse"]["occurred_at"] < by_kind["lapse"]["recorded_at"]
    assert {lot["account"] for lot in record["lots"]} == {"principal"}
    for lot in record["lots"]:
        assert 0 < lot["remaining"] <= lot["amount"]
        source = lines[lot["from_version"] - 1]
        assert (source["operation_id"], source["kind"]) == (lot["operation_id"], lot["kind"])
    statement = await office.get(f"/v1/cards/{record['card']['id']}/statement")
    for line, told in zip(statement.json()["data"], lines, strict=True):
        assert {name: told[name] for name in line} == line
    for line in lines:
        receipt = (await office.get(f"/v1/receipts/{line['operation_id']}")).json()
        for name in ("amount", "undoes", "lines", "tender", "legal_entity", "request_no"):
            assert line[name] == (receipt[name]["value"] if name == "amount" else receipt[name])


async def test_refusals_stand_apart_with_their_reasons(record: Record) -> None:
    assert record["refusal_count"] == len(record["refusals"]) == 2
    frozen, dear = record["refusals"]
    assert [reason["code"] for reason in frozen["reasons"]] == ["card_frozen"]
    assert frozen["operator"] == life.STRANGE
    assert (dear["amount"], dear["reasons"][0]["code"]) == (10**6, "insufficient_balance")
    assert record["meanings"]["card_frozen"] == "卡已冻结，请先解冻。"
    assert record["movements"][frozen["at_version"] - 1]["kind"] == "freeze"


async def test_the_contract_is_in_words_and_as_data(office: Client, tenant: Tenant) -> None:
    stores = {"mode": "exclude", "ids": [tenant.store_ids[1]]}
    template_id = await shop.publish(
        office, validity={"type": "after_activation", "period": "P3Y6M"}, stores=stores,
        drawdown_policy="pro_rata", holder="named",
    )  # fmt: skip
    card = await shop.issue(office, tenant, template_id)
    told = (await life.fetched(office, card))["contract"]
    english = (await life.fetched(office, card, "?language=en"))["contract"]
    assert told["rules"] == english["rules"]
    assert told["rules"]["stores"] == stores
    for text in ("记名", "3 年 6 个月", "门店2", "¥300.00", "¥50.00", "比例", "¥1,000,000.00"):
        assert any(text in term for term in told["terms"]), text
    for text in ("named", "3 year(s) and 6 month(s)", "门店2", "in proportion"):
        assert any(text in term for term in english["terms"]), text
    assert len(told["terms"]) == len(english["terms"])


async def in_parts(client: Client, card: Any, limit: int) -> list[Record]:
    """A record, part by part."""
    parts, query = [], f"?limit={limit}"
    while True:
        answer = await client.get(f"/v1/cards/{card.card_id}/record{query}")
        assert answer.status == 200, answer.body
        parts.append(answer.json())
        cursor = parts[-1]["next_cursor"]
        assert answer.headers.get("next-cursor") == cursor
        if cursor is None:
            return parts
        query = f"?limit={limit}&cursor={cursor}"


@pytest.mark.parametrize("limit", [1, 3, 13, 16, 17])
async def test_parts_are_the_whole(office: Client, pos: Client, tenant: Tenant, limit: int) -> None:
    card = await life.whole(office, pos, tenant)
    whole = await life.fetched(office, card)
    parts = await in_parts(office, card, limit)
    for name in ("movements", "refusals"):
        assert [line for part in parts for line in part[name]] == whole[name]
        assert parts[0]["proof"][name]["opening"] == whole["proof"][name]["opening"]
        assert parts[-1]["proof"][name]["closing"] == whole["proof"][name]["closing"]
        for before, after in pairwise(parts):
            assert before["proof"][name]["closing"] == after["proof"][name]["opening"]
    for part in parts:
        checked(part)
        assert len(part["movements"]) + len(part["refusals"]) <= limit
    assert parts[-1]["totals"] == whole["totals"]


async def test_a_part_that_grew_meanwhile_still_fits(
    office: Client, pos: Client, tenant: Tenant
) -> None:
    """What happens between two parts comes in the next one, and what was printed stays true."""
    card = await life.whole(office, pos, tenant)
    before = await life.fetched(pos, card)
    first = await life.fetched(pos, card, "?limit=5")
    await shop.sold(pos, card, 100)
    await shop.redeem(pos, card, 10**6)
    rest = await life.fetched(pos, card, f"?cursor={first['next_cursor']}")
    lines = first["movements"] + rest["movements"]
    assert out_of_step(rest, lines) == []
    assert lines[:-1] == before["movements"]
    assert len(rest["refusals"]) == rest["refusal_count"] == 3
    checked(rest)


@pytest.mark.parametrize("form", ["json", "html", "pdf"])
async def test_every_key_that_reads_cards_may_print_and_nobody_else(
    office: Client, pos: Client, tenant: Tenant, other: Tenant, client_of: ClientOf, form: str
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    for client in (office, pos):
        answer = await client.get(f"/v1/cards/{card.card_id}/record?format={form}")
        assert answer.status == 200
    async with client_of(other.merchant_key) as stranger:
        theirs = await stranger.get(f"/v1/cards/{card.card_id}/record?format={form}")
        absent = await stranger.get(f"/v1/cards/crd_{'0' * 26}/record?format={form}")
    assert theirs.status == 404
    assert shop.without_request_id(theirs) == shop.without_request_id(absent)


async def test_a_cursor_at_the_end_of_time_is_refused(office: Client, tenant: Tenant) -> None:
    card = await shop.issue(office, tenant)
    for instant in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        cursor = encode_cursor([1, "0" * 64, instant, None, "0" * 64])
        answer = await office.get(f"/v1/cards/{card.card_id}/record?cursor={cursor}")
        assert (answer.status, answer.json()["reasons"][0]["path"]) == (400, "$query.cursor")


async def test_many_at_once_are_all_answered(
    office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    """They take turns; who waits too long is told so."""
    card = await shop.funded(office, tenant, 1_000)

    async def print_one(number: int) -> int:
        async with client_of(tenant.pos_keys[0]) as client:
            form = ("pdf", "html")[number % 2]
            return (await client.get(f"/v1/cards/{card.card_id}/record?format={form}")).status

    assert set(await asyncio.gather(*map(print_one, range(8)))) <= {200, 503}


async def test_baskets_end_a_part_before_they_fill_the_memory(
    office: Client, pos: Client, tenant: Tenant, postgres: Server
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    sale = await shop.sold(pos, card, 100)
    line = {**life.LINES[0], "sku": "长" * 64, "line_id": "长" * 64, "category": "长" * 64}
    basket = json.dumps([line] * 14_000)
    statement = "update redemption set lines = $2::jsonb where merchant_id = $1"
    await shop.change(postgres, tenant.merchant_id, statement, tenant.merchant_id, basket)
    last = await shop.sold(pos, card, 100)
    parts = await in_parts(office, card, 10_000)
    assert [part["movements"][-1]["operation_id"] for part in parts] == [sale, last]
    undo = "update redemption set lines = '[]' where merchant_id = $1"
    await shop.change(postgres, tenant.merchant_id, undo, tenant.merchant_id)
