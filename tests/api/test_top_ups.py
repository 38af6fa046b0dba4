"""Top-ups: the ladder, the ceiling, where a till may take money, and when a bonus lapses."""

from typing import Any

import pytest

from service.kernel.embedded import Server
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client
from tests.harness.tenant import Tenant

LADDER: list[dict[str, Any]] = [
    {"pay": 30_000, "bonus": 5_000, "bonus_validity": "P1Y"},
    {"pay": 100_000, "bonus": 20_000},
]


async def test_a_top_up_says_what_it_credited(pos: Client, office: Client, tenant: Tenant) -> None:
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    card = await shop.issue(office, tenant)
    till = {"terminal_id": "T2", "operator": "0417", "shift": "早班", "receipt_no": "000481"}
    more = {"tender": "wechat_pay", "payment_reference": "4200002026030100481", "till": till}
    answer = await shop.top_up(pos, card, 30_000, **more)
    got = answer.json()
    assert (answer.status, got["status"]) == (201, "accepted")
    assert got["paid"] == {"value": 30_000, "currency": "CNY"}
    assert got["bonus"] == {"value": 5_000, "currency": "CNY"}
    assert (got["tender"], got["payment_reference"]) == ("wechat_pay", "4200002026030100481")
    assert (got["store_id"], got["business_date"]) == (tenant.store_ids[0], "2031-03-01")
    assert [(lot["account"], lot["amount"], lot["expires_on"]) for lot in got["lots"]] == [
        ("principal", 30_000, None),
        ("bonus", 5_000, "2032-02-29"),
    ]
    assert got["card"]["version"] == 2
    assert got["card"]["balances"] == {
        "principal": 30_000, "bonus": 5_000, "total": 35_000, "currency": "CNY",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("paid", "bonus"),
    [(1, 0), (29_999, 0), (30_000, 5_000), (99_999, 5_000), (100_000, 20_000), (250_000, 20_000)],
)
async def test_CAP_C2_the_highest_step_reached_counts_once(
    pos: Client, office: Client, tenant: Tenant, paid: int, bonus: int
) -> None:
    template_id = await shop.publish(office, top_up_rules=LADDER)
    card = await shop.issue(office, tenant, template_id)
    answer = await shop.top_up(pos, card, paid)
    assert answer.json()["bonus"]["value"] == bonus
    assert await shop.balances(pos, card) == (paid, bonus)


async def test_the_ceiling_counts_the_bonus_too(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    template_id = await shop.publish(office, max_balance=40_000)
    card = await shop.issue(office, tenant, template_id)
    assert (await shop.top_up(pos, card, 5_001)).status == 201
    refused = await shop.top_up(pos, card, 30_000)
    assert (refused.status, refused.json()["code"]) == (409, "operation_refused")
    [reason] = refused.json()["reasons"]
    assert (reason["code"], reason["missing_minor"]) == ("max_balance_exceeded", 1)
    assert reason["card_id"] == card.card_id
    await shop.sold(pos, card, 1)
    assert (await shop.top_up(pos, card, 30_000)).status == 201
    assert sum(await shop.balances(pos, card)) == 40_000


async def test_every_reason_at_once(
    pos: Client, office: Client, tenant: Tenant, postgres: Server
) -> None:
    template_id = await shop.publish(office, max_balance=40_000)
    card = await shop.issue(office, tenant, template_id)
    await office.post(f"/v1/cards/{card.card_id}/freeze", {}, shop.new_key())
    statement = "update store set status = 'closed' where merchant_id = $1 and store_id = $2"
    await shop.change(
        postgres, tenant.merchant_id, statement, tenant.merchant_id, tenant.store_ids[0]
    )
    # Amounts of two currencies don't add up, so each attempt shows one of the last two reasons.
    for currency, last in (("USD", "currency_mismatch"), ("CNY", "max_balance_exceeded")):
        body = {"amount": shop.yuan(90_000, currency), "tender": "cash"}
        answer = await pos.post(f"/v1/cards/{card.card_id}/top-ups", body, shop.new_key())
        assert answer.status == 409
        assert shop.reasons(answer) == ["card_frozen", "store_closed", last]


async def test_a_card_that_is_not_activated_takes_no_money(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.issue(office, tenant, activate=False)
    answer = await shop.top_up(pos, card, 100)
    assert (answer.status, shop.reasons(answer)) == (409, ["card_not_active"])


async def test_a_bonus_lapses_and_says_so(pos: Client, office: Client, tenant: Tenant) -> None:
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    card = await shop.funded(office, tenant, 30_000)
    await shop.move_clock(office, "2032-02-29T15:59:59Z")
    assert await shop.balances(pos, card) == (30_000, 5_000)
    await shop.move_clock(office, "2032-02-29T16:00:00Z")
    assert await shop.balances(pos, card) == (30_000, 0)
    shown = (await pos.get(f"/v1/cards/{card.card_id}")).json()
    assert [lot["account"] for lot in shown["lots"]] == ["principal"]
    await shop.sold(pos, card, 1_000)
    lines = (await pos.get(f"/v1/cards/{card.card_id}/statement")).json()["data"]
    assert [(line["kind"], line["principal"], line["bonus"]) for line in lines[-2:]] == [
        ("lapse", 30_000, 0),
        ("redeem", 29_000, 0),
    ]


async def test_where_the_money_is_taken(
    pos: Client, office: Client, tenant: Tenant, other: Tenant
) -> None:
    card = await shop.issue(office, tenant)
    own, second = tenant.store_ids
    assert (await shop.top_up(pos, card, 100, store_id=own)).status == 201
    assert (await shop.top_up(office, card, 100, store_id=second)).status == 201
    wrong = await shop.top_up(pos, card, 100, store_id=second)
    assert (wrong.status, wrong.json()["code"]) == (403, "store_not_allowed")
    assert (shop.reasons(wrong), wrong.json()["reasons"][0]["path"]) == (
        ["store_mismatch"],
        "$.store_id",
    )
    unnamed = await shop.top_up(office, card, 100)
    assert (unnamed.status, shop.reasons(unnamed)) == (422, ["store_required"])
    foreign = await shop.top_up(office, card, 100, store_id=other.store_ids[0])
    absent = await shop.top_up(office, card, 100, store_id="sto_" + "0" * 26)
    assert (foreign.status, shop.reasons(foreign)) == (422, ["store_unknown"])
    assert shop.without_request_id(foreign) == shop.without_request_id(absent)
    assert await shop.balances(pos, card) == (200, 0)


async def test_money_may_be_taken_where_the_card_is_not_redeemed(
    office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    stores = {"mode": "include", "ids": [tenant.store_ids[1]]}
    card = await shop.issue(office, tenant, await shop.publish(office, stores=stores))
    async with client_of(tenant.pos_keys[0]) as pos:
        assert (await shop.top_up(pos, card, 100)).status == 201
