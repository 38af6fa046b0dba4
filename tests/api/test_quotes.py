"""Quotes: the decision of a redemption with nothing moved, and a token that holds it to it."""

import asyncio
from typing import Any

import pytest

from service.kernel.embedded import Server
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client
from tests.harness.tenant import Tenant, TestCard

LINES = [
    {"line_id": "1", "sku": "CUT", "quantity": 2, "list_price": 500, "total": 1_000},
    {"line_id": "2", "sku": "WAX", "quantity": 1, "list_price": 300, "tax": 18, "total": 318},
]


async def quote(client: Client, card: TestCard, value: int, **more: Any) -> dict[str, Any]:
    """What a sale would do."""
    body = {"amount": shop.yuan(value), "sources": [{"card_number": card.number}], **more}
    answer = await client.post("/v1/redemptions/quote", body)
    assert answer.status == 200, answer.body
    return dict(answer.json())


async def test_a_quote_is_what_the_redemption_does(
    pos: Client, office: Client, tenant: Tenant, postgres: Server
) -> None:
    template_id = await shop.publish(office, drawdown_policy="pro_rata")
    card = await shop.funded(office, tenant, 33_333, template_id)
    before = await shop.rows(postgres, tenant.merchant_id)
    quoted = await quote(pos, card, 1_318, lines=LINES)
    assert await shop.rows(postgres, tenant.merchant_id) == before
    assert (quoted["accepted"], quoted["reasons"]) == (True, [])
    assert quoted["payable"] == {"value": 1_318, "currency": "CNY"}
    more = {"lines": LINES, "quote_token": quoted["quote_token"], "expected_payable": 1_318}
    done = await shop.redeem(pos, card, 1_318, **more)
    assert done.status == 201
    assert done.json()["allocations"] == quoted["allocations"]


async def test_a_quote_names_every_reason(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 100)
    await office.post(f"/v1/cards/{card.card_id}/freeze", {}, shop.new_key())
    quoted = await quote(pos, card, 150)
    assert quoted["accepted"] is False
    assert [r["code"] for r in quoted["reasons"]] == ["card_frozen", "insufficient_balance"]
    assert quoted["reasons"][1]["missing_minor"] == 50
    assert (quoted["allocations"], quoted["quote_token"], quoted["expires_at"]) == ([], None, None)


async def test_a_moved_price_is_refused(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 10_000)
    answer = await shop.redeem(pos, card, 1_000, expected_payable=999)
    assert (answer.status, shop.reasons(answer)) == (409, ["price_moved"])
    assert await shop.balances(pos, card) == (10_000, 0)


async def test_a_token_ends_after_its_time(pos: Client, office: Client, tenant: Tenant) -> None:
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    card = await shop.funded(office, tenant, 10_000)
    quoted = await quote(pos, card, 1_000)
    assert quoted["expires_at"] == "2031-03-01T02:15:00Z"
    await shop.move_clock(office, "2031-03-01T02:14:59Z")
    in_time = await shop.redeem(pos, card, 1_000, quote_token=quoted["quote_token"])
    assert in_time.status == 201
    await shop.move_clock(office, "2031-03-01T02:15:00Z")
    late = await shop.redeem(pos, card, 1_000, quote_token=quoted["quote_token"])
    assert (late.status, shop.reasons(late)) == (409, ["quote_token_expired"])


async def test_a_token_is_for_one_card_store_amount_and_basket(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card, second = [await shop.funded(office, tenant, 10_000) for _ in range(2)]
    token = (await quote(pos, card, 1_000, lines=LINES))["quote_token"]
    fit = {"lines": LINES, "quote_token": token}
    async with client_of(tenant.pos_keys[1]) as other_till:
        answers = [
            await shop.redeem(pos, second, 1_000, **fit),
            await shop.redeem(other_till, card, 1_000, **fit),
            await shop.redeem(pos, card, 1_001, **fit),
            await shop.redeem(pos, card, 1_000, **{**fit, "lines": LINES[:1]}),
            await shop.redeem(pos, card, 1_000, quote_token=token),
        ]
    assert {(a.status, *shop.reasons(a)) for a in answers} == {(409, "quote_token_invalid")}
    assert (await shop.redeem(pos, card, 1_000, **fit)).status == 201


@pytest.mark.parametrize(
    "token", ["", "x", "é", "A" * 44, "====", "AAAA AAAA", "-_" * 22, "a" * 200]
)
async def test_a_token_that_is_none_of_ours(
    pos: Client, office: Client, tenant: Tenant, token: str
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    answer = await shop.redeem(pos, card, 1_000, quote_token=token)
    assert (answer.status, shop.reasons(answer)) == (409, ["quote_token_invalid"])


async def test_a_token_changed_in_any_character_does_not_hold(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    token = (await quote(pos, card, 1_000))["quote_token"].rstrip("=")
    for position in range(0, len(token) - 1, 7):
        changed = "B" if token[position] == "A" else "A"
        forged = f"{token[:position]}{changed}{token[position + 1 :]}="
        answer = await shop.redeem(pos, card, 1_000, quote_token=forged)
        assert (answer.status, shop.reasons(answer)) == (409, ["quote_token_invalid"]), position


async def test_a_quote_reserves_nothing(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    tokens = [(await quote(pos, card, 1_000))["quote_token"] for _ in range(2)]

    async def pay(token: str) -> int:
        async with client_of(tenant.pos_keys[0]) as till:
            return (await shop.redeem(till, card, 1_000, quote_token=token)).status

    assert sorted(await asyncio.gather(*map(pay, tokens))) == [201, 409]
    quoted = await quote(pos, card, 1_000)
    assert quoted["accepted"] is False


async def test_a_quote_of_a_lapsed_bonus(pos: Client, office: Client, tenant: Tenant) -> None:
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    card = await shop.funded(office, tenant, 30_000)
    assert (await quote(pos, card, 35_000))["accepted"] is True
    await shop.move_clock(office, "2032-03-01T02:00:00Z")
    quoted = await quote(pos, card, 35_000)
    assert [r["code"] for r in quoted["reasons"]] == ["insufficient_balance"]
    assert quoted["reasons"][0]["missing_minor"] == 5_000


async def test_where_is_asked(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 1_000)
    body = {"amount": shop.yuan(100), "sources": [{"card_number": card.number}]}
    unnamed = await office.post("/v1/redemptions/quote", body)
    assert (unnamed.status, shop.reasons(unnamed)) == (422, ["store_required"])
    elsewhere = {**body, "store_id": tenant.store_ids[1]}
    assert (await office.post("/v1/redemptions/quote", elsewhere)).json()["accepted"] is True
    wrong = await pos.post("/v1/redemptions/quote", elsewhere)
    assert (wrong.status, wrong.json()["code"]) == (403, "store_not_allowed")
