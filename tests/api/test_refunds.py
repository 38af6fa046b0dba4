"""Refunds and voids: value goes back where it came from, never more than was taken."""

import asyncio
from typing import Any

import pytest

from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant, TestCard

LINES = [
    {"line_id": "a", "sku": "CUT", "quantity": 2, "list_price": 2_000, "total": 4_000},
    {
        "line_id": "b",
        "sku": "WAX",
        "quantity": 1,
        "list_price": 3_500,
        "discount": 500,
        "total": 3_000,
    },
]


async def refund(client: Client, sale: str, **body: Any) -> Response:
    """Give back part of a sale."""
    return await client.post(f"/v1/redemptions/{sale}/refunds", body, shop.new_key())


async def void(client: Client, sale: str) -> Response:
    """Undo a sale of today."""
    return await client.post(f"/v1/redemptions/{sale}/void", {}, shop.new_key())


async def lots(client: Client, card: TestCard) -> dict[str, int]:
    """What remains in each lot that holds value."""
    shown = (await client.get(f"/v1/cards/{card.card_id}")).json()
    return {lot["id"]: lot["remaining"] for lot in shown["lots"]}


async def test_CAP_E2_a_full_refund_restores_every_lot(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 30_000)
    await shop.top_up(pos, card, 1_000)
    before = await lots(pos, card)
    sale = await shop.sold(pos, card, 35_500)
    assert await lots(pos, card) != before
    answer = await refund(pos, sale, reason="changed her mind")
    got = answer.json()
    assert (answer.status, got["kind"], got["redemption_status"]) == (201, "refund", "refunded")
    assert got["redemption_id"] == sale
    assert (got["amount"]["value"], got["left"]["value"]) == (35_500, 0)
    assert sum(part["value"] for part in got["allocations"]) == 35_500
    assert got["card"]["balances"]["total"] == 36_000
    assert await lots(pos, card) == before


@pytest.mark.parametrize("policy", ["bonus_first", "principal_first", "pro_rata"])
async def test_CAP_E3_refunds_in_slices_give_the_same_lots_back(
    pos: Client, office: Client, tenant: Tenant, policy: str
) -> None:
    template_id = await shop.publish(office, drawdown_policy=policy)
    card = await shop.funded(office, tenant, 30_000, template_id)
    before = await lots(pos, card)
    sale = await shop.sold(pos, card, 33_333)
    for value, left in ((1, 33_332), (9_999, 23_333), (23_332, 1), (1, 0)):
        got = (await refund(pos, sale, amount=shop.yuan(value))).json()
        assert (got["amount"]["value"], got["left"]["value"]) == (value, left)
        assert got["redemption_status"] == ("partly_refunded" if left else "refunded")
        shown = (await pos.get(f"/v1/redemptions/{sale}")).json()
        assert (shown["status"], shown["refunded"]["value"]) == (
            got["redemption_status"],
            33_333 - left,
        )
    assert await lots(pos, card) == before


async def test_never_more_than_is_left(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 10_000)
    sale = await shop.sold(pos, card, 5_000)
    assert (await refund(pos, sale, amount=shop.yuan(3_000))).status == 201
    over = await refund(pos, sale, amount=shop.yuan(2_001))
    assert (over.status, over.json()["code"]) == (409, "refund_refused")
    [reason] = over.json()["reasons"]
    assert (reason["code"], reason["missing_minor"]) == ("refund_exceeds_left", 1)
    assert (await refund(pos, sale)).json()["amount"]["value"] == 2_000
    closed = await refund(pos, sale, amount=shop.yuan(1))
    assert (closed.status, shop.reasons(closed)) == (409, ["redemption_closed"])
    assert await shop.balances(pos, card) == (10_000, 0)


async def test_many_refunds_at_once_give_back_no_more_than_was_taken(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    sale = await shop.sold(pos, card, 5_000)

    async def send() -> int:
        async with client_of(tenant.pos_keys[0]) as till:
            return (await refund(till, sale, amount=shop.yuan(1_000))).status

    statuses = await asyncio.gather(*[send() for _ in range(12)])
    assert sorted(statuses) == [201] * 5 + [409] * 7
    assert await shop.balances(pos, card) == (10_000, 0)


async def test_CAP_E4_refund_by_line(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 10_000)
    sale = await shop.sold(pos, card, 7_000, lines=LINES)
    one = await refund(pos, sale, lines=[{"line_id": "a", "value": 2_000}])
    assert (one.status, one.json()["left"]["value"]) == (201, 5_000)
    wrong = await refund(
        pos, sale, lines=[{"line_id": "a", "value": 2_001}, {"line_id": "z", "value": 1}]
    )
    assert (wrong.status, wrong.json()["code"]) == (409, "refund_refused")
    assert sorted(shop.reasons(wrong)) == ["line_refund_exceeds_left", "line_unknown"]
    unknown = next(r for r in wrong.json()["reasons"] if r["code"] == "line_unknown")
    assert unknown["allowed"] == ["a", "b"]
    both = [{"line_id": "a", "value": 2_000}, {"line_id": "b", "value": 3_000}]
    rest = await refund(pos, sale, lines=both)
    assert (rest.status, rest.json()["redemption_status"]) == (201, "refunded")
    assert await shop.balances(pos, card) == (10_000, 0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"amount": shop.yuan(1), "lines": [{"line_id": "a", "value": 1}]}, "amount_and_lines"),
        ({"lines": [{"line_id": "a", "value": 1}, {"line_id": "a", "value": 2}]}, "duplicate_line"),
    ],
)
async def test_a_refund_that_contradicts_itself(
    pos: Client, office: Client, tenant: Tenant, body: dict[str, Any], code: str
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    sale = await shop.sold(pos, card, 7_000, lines=LINES)
    answer = await refund(pos, sale, **body)
    assert (answer.status, shop.reasons(answer)) == (422, [code])
    assert answer.json()["reasons"][0]["path"] == "$.lines"


async def test_a_refund_in_another_currency(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 10_000)
    sale = await shop.sold(pos, card, 7_000)
    answer = await refund(pos, sale, amount=shop.yuan(100, "HKD"))
    assert (answer.status, shop.reasons(answer)) == (409, ["currency_mismatch"])


async def test_what_was_paid_from_a_lapsed_bonus_comes_back_as_long_as_it_had_left(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    card = await shop.funded(office, tenant, 30_000)  # bonus good to 2032-02-29
    await shop.move_clock(office, "2032-02-20T02:00:00Z")
    sale = await shop.sold(pos, card, 5_000)
    await shop.move_clock(office, "2033-01-01T02:00:00Z")
    assert (await refund(pos, sale)).status == 201
    shown = (await pos.get(f"/v1/cards/{card.card_id}")).json()
    [bonus] = [lot for lot in shown["lots"] if lot["account"] == "bonus"]
    assert (bonus["remaining"], bonus["expires_on"]) == (5_000, "2033-01-10")


async def test_a_void_undoes_all_of_it(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 30_000)
    before = await lots(pos, card)
    sale = await shop.sold(pos, card, 8_000)
    answer = await void(pos, sale)
    got = answer.json()
    assert (answer.status, got["kind"], got["redemption_status"]) == (201, "void", "voided")
    assert (got["amount"]["value"], got["left"]["value"]) == (8_000, 0)
    assert await lots(pos, card) == before
    for again in (await void(pos, sale), await refund(pos, sale)):
        assert (again.status, shop.reasons(again)) == (409, ["redemption_closed"])


async def test_a_void_after_a_refund_is_refused(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    sale = await shop.sold(pos, card, 8_000)
    await refund(pos, sale, amount=shop.yuan(1))
    answer = await void(pos, sale)
    assert (answer.status, shop.reasons(answer)) == (409, ["void_after_refund"])


async def test_CAP_E1_a_void_is_for_its_business_date(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    await shop.move_clock(office, "2031-03-01T15:00:00Z")  # 23:00 in the shop
    card = await shop.funded(office, tenant, 10_000)
    sales = [await shop.sold(pos, card, 1_000) for _ in range(2)]
    await shop.move_clock(office, "2031-03-01T19:59:59Z")  # 03:59:59, the same business day
    key = shop.new_key()
    first = await pos.post(f"/v1/redemptions/{sales[0]}/void", {}, key)
    assert (first.status, first.json()["business_date"]) == (201, "2031-03-01")
    await shop.move_clock(office, "2031-03-01T20:00:00Z")  # 04:00: the day is cut off
    late = await void(pos, sales[1])
    assert (late.status, shop.reasons(late)) == (409, ["void_window_closed"])
    assert (await refund(pos, sales[1])).status == 201
    again = await pos.post(f"/v1/redemptions/{sales[0]}/void", {}, key)
    assert (again.status, again.body) == (201, first.body)


async def test_the_office_may_refund_for_any_store(
    office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    async with client_of(tenant.pos_keys[1]) as till:
        sale = await shop.sold(till, card, 1_000)
    assert (await refund(office, sale)).status == 201


async def test_a_refused_attempt_can_not_be_refunded(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 100)
    body = shop.sale(card, 150)
    assert (await pos.post("/v1/redemptions", body, shop.new_key())).status == 409
    found = await pos.get(f"/v1/redemptions?request_no={body['request_no']}")
    [refused] = found.json()["data"]
    answer = await refund(pos, refused["id"])
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
