"""Redemptions as a till lives them: draw-down, stores, request numbers, and did it happen?"""

import asyncio
from typing import Any

import pytest

from service.kernel.embedded import Server
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client
from tests.harness.tenant import Tenant

LINE = {
    "line_id": "1", "sku": "CUT", "quantity": 1, "list_price": 9_800, "discount": 1_000, "tax": 0,
    "total": 8_800, "category": "hair",
}  # fmt: skip


async def test_a_redemption_tells_everything(pos: Client, office: Client, tenant: Tenant) -> None:
    await shop.move_clock(office, "2031-03-01T19:30:00Z")  # 03:30 in the shop: still yesterday
    card = await shop.funded(office, tenant, 30_000)
    body = shop.sale(card, 8_800, lines=[LINE], till={"operator": "0417"})
    answer = await pos.post("/v1/redemptions", body, shop.new_key())
    got = answer.json()
    assert (answer.status, got["status"]) == (201, "captured")
    assert (got["request_no"], got["store_id"]) == (body["request_no"], tenant.store_ids[0])
    assert got["business_date"] == "2031-03-01"
    assert got["recorded_at"].startswith("2031-03-01T19:30:00")
    assert got["amount"] == {"value": 8_800, "currency": "CNY"}
    assert got["refunded"] == {"value": 0, "currency": "CNY"}
    # What is as it would be anyway (here: no tax) is left out.
    assert got["lines"] == [{name: value for name, value in LINE.items() if name != "tax"}]
    assert [(part["account"], part["value"]) for part in got["allocations"]] == [
        ("bonus", 5_000),
        ("principal", 3_800),
    ]
    assert got["card"]["card_id"] == card.card_id
    assert got["card"]["version"] == 3
    assert got["card"]["balances"]["total"] == 26_200
    assert card.number.encode() not in answer.body
    assert (await pos.get(f"/v1/redemptions/{got['id']}")).json() == got


@pytest.mark.parametrize(
    ("policy", "drawn"),
    [
        ("bonus_first", [("bonus", 5_000), ("principal", 2_000)]),
        ("principal_first", [("principal", 7_000)]),
        ("pro_rata", [("principal", 6_000), ("bonus", 1_000)]),
    ],
)
async def test_CAP_C4_draw_down_policies(
    pos: Client, office: Client, tenant: Tenant, policy: str, drawn: list[tuple[str, int]]
) -> None:
    template_id = await shop.publish(office, drawdown_policy=policy)
    card = await shop.funded(office, tenant, 30_000, template_id)
    got = (await shop.redeem(pos, card, 7_000)).json()
    assert [(part["account"], part["value"]) for part in got["allocations"]] == drawn


async def test_a_mini_program_pays_by_card_id(office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 1_000)
    body = shop.sale(card, 100, sources=[{"card_id": card.card_id}], store_id=tenant.store_ids[1])
    answer = await office.post("/v1/redemptions", body, shop.new_key())
    assert (answer.status, answer.json()["store_id"]) == (201, tenant.store_ids[1])


async def test_an_inactive_card_named_by_its_id_is_no_secret(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.issue(office, tenant, activate=False)
    body = shop.sale(card, 100, sources=[{"card_id": card.card_id}])
    answer = await pos.post("/v1/redemptions", body, shop.new_key())
    assert answer.status == 409
    assert shop.reasons(answer) == ["card_not_active", "insufficient_balance"]


@pytest.mark.parametrize(
    "source", [{}, {"card_number": "8800123412341237", "card_id": "crd_" + "0" * 26}]
)
async def test_a_source_is_named_in_one_way(
    pos: Client, tenant: Tenant, source: dict[str, str]
) -> None:
    body = {"request_no": "A-1", "amount": shop.yuan(1), "sources": [source]}
    answer = await pos.post("/v1/redemptions", body, shop.new_key())
    assert (answer.status, answer.json()["code"]) == (422, "contradiction")
    [reason] = answer.json()["reasons"]
    assert (reason["code"], reason["path"]) == ("source_ambiguous", "$.sources[0]")


async def test_every_reason_at_once(
    pos: Client, office: Client, tenant: Tenant, postgres: Server
) -> None:
    stores = {"mode": "exclude", "ids": [tenant.store_ids[0]]}
    template_id = await shop.publish(office, stores=stores)
    card = await shop.funded(office, tenant, 1_000, template_id)
    await office.post(f"/v1/cards/{card.card_id}/freeze", {}, shop.new_key())
    statement = "update store set status = 'closed' where merchant_id = $1 and store_id = $2"
    await shop.change(
        postgres, tenant.merchant_id, statement, tenant.merchant_id, tenant.store_ids[0]
    )
    answer = await shop.redeem(pos, card, 1_234, expected_payable=1, quote_token="bm9uZQ==")
    assert (answer.status, answer.json()["code"]) == (409, "redemption_refused")
    assert shop.reasons(answer) == [
        "card_frozen", "store_not_in_scope", "store_closed", "insufficient_balance", "price_moved",
        "quote_token_invalid",
    ]  # fmt: skip
    assert answer.json()["reasons"][3]["missing_minor"] == 234


async def test_another_currency(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 1_000)
    answer = await shop.redeem(pos, card, 100, amount=shop.yuan(100, "HKD"))
    assert (answer.status, shop.reasons(answer)) == (409, ["currency_mismatch"])
    assert answer.json()["reasons"][0]["allowed"] == ["CNY"]


@pytest.mark.parametrize("mode", ["include", "exclude"])
async def test_CAP_C8_stores_that_redeem_a_card(
    office: Client, tenant: Tenant, client_of: ClientOf, mode: str
) -> None:
    template_id = await shop.publish(office, stores={"mode": mode, "ids": [tenant.store_ids[0]]})
    card = await shop.funded(office, tenant, 1_000, template_id)
    statuses = []
    for key in tenant.pos_keys:
        async with client_of(key) as pos:
            answer = await shop.redeem(pos, card, 100)
            statuses.append(answer.status)
            assert answer.status == 201 or shop.reasons(answer) == ["store_not_in_scope"]
    assert statuses == ([201, 409] if mode == "include" else [409, 201])


async def test_a_till_acts_for_its_own_store(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    own, second = tenant.store_ids
    sale = await shop.sold(pos, card, 100, store_id=own)
    wrong = await shop.redeem(pos, card, 100, store_id=second)
    assert (wrong.status, wrong.json()["code"]) == (403, "store_not_allowed")
    assert wrong.json()["reasons"][0]["path"] == "$.store_id"
    unnamed = await shop.redeem(office, card, 100)
    assert (unnamed.status, shop.reasons(unnamed)) == (422, ["store_required"])
    async with client_of(tenant.pos_keys[1]) as other_till:
        for answer in (
            await other_till.get(f"/v1/redemptions/{sale}"),
            await other_till.post(f"/v1/redemptions/{sale}/refunds", {}, shop.new_key()),
            await other_till.post(f"/v1/redemptions/{sale}/void", {}, shop.new_key()),
        ):
            assert (answer.status, answer.json()["code"]) == (403, "store_not_allowed")
    assert (await shop.redeem(office, card, 100, store_id=second)).status == 201


async def test_one_request_number_is_one_sale(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 1_000)
    body = shop.sale(card, 100)
    first = (await pos.post("/v1/redemptions", body, shop.new_key())).json()
    key = shop.new_key()
    second = await pos.post("/v1/redemptions", body, key)
    assert (second.status, second.json()["code"]) == (409, "duplicate_request_no")
    [reason] = second.json()["reasons"]
    assert (reason["code"], reason["existing_id"]) == ("request_no_taken", first["id"])
    again = await pos.post("/v1/redemptions", body, key)
    assert (again.status, again.body) == (409, second.body)
    assert await shop.balances(pos, card) == (900, 0)


async def test_a_refused_attempt_leaves_its_request_number_free(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 100)
    body = shop.sale(card, 150)
    assert (await pos.post("/v1/redemptions", body, shop.new_key())).status == 409
    await shop.top_up(pos, card, 50)
    assert (await pos.post("/v1/redemptions", body, shop.new_key())).status == 201


async def test_request_numbers_of_two_stores_are_apart(
    office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    body = shop.sale(card, 100)
    for key in tenant.pos_keys:
        async with client_of(key) as till:
            assert (await till.post("/v1/redemptions", body, shop.new_key())).status == 201


async def test_one_request_number_at_once_is_one_sale(
    office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    cards = [await shop.funded(office, tenant, 1_000) for _ in range(8)]
    shared = shop.sale(cards[0], 100)["request_no"]

    async def send(number: int) -> tuple[int, str]:
        async with client_of(tenant.pos_keys[0]) as till:
            answer = await shop.redeem(till, cards[number], 100, request_no=shared)
            return answer.status, answer.json().get("code", "")

    answers = sorted(await asyncio.gather(*[send(number) for number in range(8)]))
    assert answers == [(201, ""), *[(409, "duplicate_request_no")] * 7]


async def test_did_it_happen(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 100)
    body = shop.sale(card, 150, lines=[{**LINE, "list_price": 150, "discount": 0, "total": 150}])
    path = f"/v1/redemptions?request_no={body['request_no']}"
    assert (await pos.get(path)).json() == {"data": []}
    assert (await pos.post("/v1/redemptions", body, shop.new_key())).status == 409
    [refused] = (await pos.get(path)).json()["data"]
    assert (refused["status"], refused["amount"]["value"]) == ("refused", 150)
    assert [reason["code"] for reason in refused["reasons"]] == ["insufficient_balance"]
    assert (refused["allocations"], refused["refunded"]["value"]) == ([], 0)
    assert (await pos.get(f"/v1/redemptions/{refused['id']}")).json() == refused
    await shop.top_up(pos, card, 50)
    captured = (await pos.post("/v1/redemptions", body, shop.new_key())).json()
    found = (await pos.get(path)).json()["data"]
    assert found == [captured, refused]


async def test_who_may_ask_whether_it_happened(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    body = shop.sale(card, 100)
    sale = (await pos.post("/v1/redemptions", body, shop.new_key())).json()
    path = f"/v1/redemptions?request_no={body['request_no']}"
    own, second = tenant.store_ids
    unnamed = await office.get(path)
    assert (unnamed.status, shop.reasons(unnamed)) == (422, ["store_required"])
    assert (await office.get(f"{path}&store_id={own}")).json()["data"] == [sale]
    assert (await office.get(f"{path}&store_id={second}")).json()["data"] == []
    wrong = await pos.get(f"{path}&store_id={second}")
    assert (wrong.status, wrong.json()["code"]) == (403, "store_not_allowed")
    async with client_of(tenant.pos_keys[1]) as other_till:
        assert (await other_till.get(path)).json()["data"] == []


BASKETS: list[tuple[list[dict[str, Any]], int]] = [
    ([{**LINE, "total": 8_801}], 8_800),
    ([LINE, LINE], 8_800),
    ([LINE], 8_801),
    ([{**LINE, "discount": 9_900, "total": 0}], 1),
]


@pytest.mark.parametrize(("lines", "amount"), BASKETS)
async def test_a_basket_that_does_not_add_up(
    pos: Client, office: Client, tenant: Tenant, postgres: Server, lines: list[dict[str, Any]],
    amount: int,
) -> None:  # fmt: skip
    card = await shop.funded(office, tenant, 20_000)
    before = await shop.rows(postgres, tenant.merchant_id)
    answer = await shop.redeem(pos, card, amount, lines=lines)
    assert (answer.status, answer.json()["code"]) == (422, "contradiction")
    assert set(shop.reasons(answer)) == {"basket_contradiction"}
    assert {reason["path"] for reason in answer.json()["reasons"]} == {"$.lines"}
    assert await shop.rows(postgres, tenant.merchant_id) == before


async def test_other_tenders_may_pay_a_part_of_the_basket(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 20_000)
    assert (await shop.redeem(pos, card, 5_000, lines=[LINE])).status == 201


async def test_a_suspended_merchant(
    pos: Client, office: Client, tenant: Tenant, postgres: Server
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    statement = "update merchant set status = $2 where merchant_id = $1"
    await shop.change(postgres, tenant.merchant_id, statement, tenant.merchant_id, "suspended")
    key = shop.new_key()
    answer = await shop.redeem(pos, card, 100, key=key)
    assert (answer.status, answer.json()["code"]) == (403, "merchant_suspended")
    await shop.change(postgres, tenant.merchant_id, statement, tenant.merchant_id, "active")
    assert (await shop.redeem(pos, card, 100, key=key)).status == 201
