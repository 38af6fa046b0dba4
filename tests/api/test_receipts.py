"""Receipts: everything a till prints, of every kind of operation, the same when printed again."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.api import shop
from tests.harness.client import Client
from tests.harness.tenant import Tenant

TILL = {"terminal_id": "T2", "operator": "0417", "shift": "early", "receipt_no": "000481"}


async def printed(client: Client, operation_id: str) -> dict[str, Any]:
    """The receipt of an operation."""
    answer = await client.get(f"/v1/receipts/{operation_id}")
    assert answer.status == 200, answer.body
    return dict(answer.json())


async def test_a_sale_is_printed_with_place_time_basket_and_balances(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    await shop.move_clock(office, "2036-02-29T17:30:05Z")
    card = await shop.funded(office, tenant, 30_000)
    line = {"line_id": "1", "sku": "CUT", "quantity": 2, "list_price": 4_000, "total": 8_000}
    answer = await shop.redeem(pos, card, 8_000, till=TILL, lines=[line])
    sale = answer.json()
    receipt = await printed(pos, sale["id"])
    assert {name: receipt[name] for name in TILL} == TILL
    assert receipt == {
        **receipt,
        "operation_id": sale["id"],
        "kind": "redeem",
        "accepted": True,
        "merchant_name": "青禾美发",
        "store_id": tenant.store_ids[0],
        "store_name": "门店1",
        "legal_entity": "青禾美发管理有限公司",
        "request_no": sale["request_no"],
        "business_date": "2036-02-29",
        "recorded_at": "2036-02-29T17:30:05Z",
        "local_time": "2036-03-01T01:30:05+08:00",
        "amount": shop.yuan(8_000),
        "undoes": None,
        "masked_number": sale["card"]["masked_number"],
        "principal_delta": -3_000,
        "bonus_delta": -5_000,
        "balances_after": sale["card"]["balances"],
        "reasons": [],
    }
    assert [(row["sku"], row["quantity"], row["total"]) for row in receipt["lines"]] == [
        ("CUT", 2, 8_000)
    ]


async def test_it_is_the_same_when_printed_later(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 30_000)
    sale = await shop.sold(pos, card, 8_000)
    first = await printed(pos, sale)
    assert (await pos.post(f"/v1/redemptions/{sale}/refunds", {}, shop.new_key())).status == 201
    await shop.sold(pos, card, 100)
    assert await printed(pos, sale) == first


async def test_every_kind_can_be_printed(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.issue(office, tenant, activate=False)
    at = f"/v1/cards/{card.card_id}"
    await office.post(f"{at}/activate", {}, shop.new_key())
    credit = (await shop.top_up(pos, card, 30_000, payment_reference="42-1")).json()
    sale = await shop.sold(pos, card, 8_000)
    half = {"amount": shop.yuan(4_000)}
    await pos.post(f"/v1/redemptions/{sale}/refunds", half, shop.new_key())
    mistaken = await shop.sold(pos, card, 500)
    await pos.post(f"/v1/redemptions/{mistaken}/void", {}, shop.new_key())
    key = shop.new_key()
    await shop.redeem(pos, card, 700, key=key)
    await pos.post("/v1/reversals", {"idempotency_key": key}, shop.new_key())
    await office.post(f"{at}/freeze", {"reason": "lost"}, shop.new_key())
    await office.post(f"{at}/unfreeze", {}, shop.new_key())
    await shop.move_clock(office, "2050-01-01T00:00:00Z")
    await shop.sold(pos, card, 100)
    statement = (await office.get(f"{at}/statement")).json()["data"]
    kinds = {line["kind"] for line in statement}
    assert kinds == {
        "issue", "activate", "top_up", "redeem", "refund", "void", "reversal", "freeze",
        "unfreeze", "lapse",
    }  # fmt: skip
    for line in statement:
        receipt = await printed(office, line["operation_id"])
        assert (receipt["kind"], receipt["accepted"]) == (line["kind"], True)
        for name in ("principal_delta", "bonus_delta", "recorded_at", "business_date", "store_id"):
            assert receipt[name] == line[name]
        after = receipt["balances_after"]
        assert (after["principal"], after["bonus"]) == (line["principal"], line["bonus"])
        undone = {"refund": sale, "void": mistaken}.get(line["kind"])
        assert receipt["undoes"] == undone or line["kind"] == "reversal"
        assert receipt["outcome"] == ("reversed" if line["kind"] == "reversal" else None)
    paid = await printed(pos, credit["id"])
    assert (paid["tender"], paid["payment_reference"]) == ("cash", "42-1")


async def test_a_refused_attempt_is_printed_with_its_reasons(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    request = shop.sale(card, 5_000)
    refused = await pos.post("/v1/redemptions", request, shop.new_key())
    assert refused.status == 409
    found = await pos.get(f"/v1/redemptions?request_no={request['request_no']}")
    receipt = await printed(pos, found.json()["data"][0]["id"])
    assert (receipt["accepted"], receipt["balances_after"]) == (False, None)
    assert (receipt["principal_delta"], receipt["bonus_delta"]) == (0, 0)
    assert receipt["reasons"] == refused.json()["reasons"]
    assert receipt["amount"] == shop.yuan(5_000)


async def test_a_reversal_without_effect_says_so(pos: Client) -> None:
    undone = await pos.post("/v1/reversals", {"idempotency_key": shop.new_key()}, shop.new_key())
    receipt = await printed(pos, undone.json()["id"])
    assert (receipt["kind"], receipt["outcome"]) == ("reversal", "blocked")
    assert (receipt["amount"]["value"], receipt["masked_number"]) == (0, None)


async def test_a_till_prints_what_its_own_store_did(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    elsewhere = await shop.sold(office, card, 100, store_id=tenant.store_ids[1])
    answer = await pos.get(f"/v1/receipts/{elsewhere}")
    assert (answer.status, answer.json()["code"]) == (403, "store_not_allowed")
    assert (await printed(office, elsewhere))["store_id"] == tenant.store_ids[1]


async def last(client: Client, terminal_id: str, store_id: str | None = None) -> dict[str, Any]:
    """What a terminal did last."""
    store = f"&store_id={store_id}" if store_id else ""
    answer = await client.get(f"/v1/operations/last?terminal_id={quote(terminal_id)}{store}")
    assert answer.status == 200, answer.body
    return dict(answer.json())


@pytest.mark.parametrize("clock", ["runs", "stands still"])
async def test_a_terminal_learns_what_it_did_last(
    pos: Client, office: Client, tenant: Tenant, clock: str
) -> None:
    if clock == "stands still":
        await shop.move_clock(office, "2036-03-01T06:15:00Z")
    card = await shop.funded(office, tenant, 30_000)
    mine, beside = ({"terminal_id": f"收银台 {number}"} for number in (1, 2))
    sales = []
    for _ in range(3):
        sales.append(await shop.sold(pos, card, 100, till=mine))
        assert await last(pos, "收银台 1") == await printed(pos, sales[-1])
    refund = await pos.post(f"/v1/redemptions/{sales[-1]}/refunds", {"till": mine}, shop.new_key())
    assert (await last(pos, "收银台 1"))["operation_id"] == refund.json()["id"]
    assert (await shop.redeem(pos, card, 10**6, till=mine)).status == 409
    refused = await last(pos, "收银台 1")
    assert (refused["kind"], refused["accepted"]) == ("redeem", False)
    await shop.sold(pos, card, 100, till=beside)
    await shop.sold(pos, card, 100)
    await shop.sold(office, card, 100, till=mine, store_id=tenant.store_ids[1])
    assert await last(pos, "收银台 1") == refused


async def test_a_terminal_is_one_of_a_store(pos: Client, office: Client, tenant: Tenant) -> None:
    """Two stores may call theirs the same; the merchant's key must say which is meant."""
    card = await shop.funded(office, tenant, 30_000)
    here, there = tenant.store_ids
    sales = {
        store: await shop.sold(office, card, 100, till={"terminal_id": "T2"}, store_id=store)
        for store in (here, there)
    }
    for store, sale in sales.items():
        assert (await last(office, "T2", store))["operation_id"] == sale
    assert (await last(pos, "T2", here))["operation_id"] == sales[here]
    other = await pos.get(f"/v1/operations/last?terminal_id=T2&store_id={there}")
    assert (other.status, other.json()["code"]) == (403, "store_not_allowed")
    unnamed = await office.get("/v1/operations/last?terminal_id=T2")
    assert (unnamed.status, shop.reasons(unnamed)) == (422, ["store_required"])


async def test_a_terminal_that_did_nothing(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 1_000)
    await shop.sold(pos, card, 10, till={"terminal_id": "T20"})
    answer = await pos.get("/v1/operations/last?terminal_id=T2")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("operation_id", ["rdm_" + "0" * 26, "rdm_1", "x"])
async def test_what_is_not_there_has_no_receipt(pos: Client, operation_id: str) -> None:
    answer = await pos.get(f"/v1/receipts/{operation_id}")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")


async def test_another_merchants_operation_is_an_absent_one(
    pos: Client, office: Client, tenant: Tenant, other: Tenant, client_of: Any
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    sale = await shop.sold(pos, card, 100)
    async with client_of(other.merchant_key) as stranger:
        theirs = await stranger.get(f"/v1/receipts/{sale}")
        absent = await stranger.get("/v1/receipts/rdm_" + "0" * 26)
    assert theirs.status == 404
    assert shop.without_request_id(theirs) == shop.without_request_id(absent)
