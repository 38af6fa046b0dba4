"""Reversal by key (冲正): what a till sends that never got an answer."""

import asyncio
from typing import Any

from service.kernel.embedded import Server
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant


async def reverse(client: Client, key: str, **more: Any) -> Response:
    """Undo whatever this key did."""
    body = {"idempotency_key": key, **more}
    return await client.post("/v1/reversals", body, shop.new_key())


async def test_a_sale_is_reversed_once(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 30_000)
    before = (await pos.get(f"/v1/cards/{card.card_id}")).json()["lots"]
    key = shop.new_key()
    sale = await shop.sold(pos, card, 8_000, key=key)
    answer = await reverse(pos, key, reason="no answer, sale given up")
    got = answer.json()
    assert (answer.status, got["outcome"], got["target_id"]) == (201, "reversed", sale)
    assert got["amount"] == {"value": 8_000, "currency": "CNY"}
    assert sum(part["value"] for part in got["allocations"]) == 8_000
    assert got["card"]["balances"]["total"] == 35_000
    assert (await pos.get(f"/v1/cards/{card.card_id}")).json()["lots"] == before
    assert (await pos.get(f"/v1/redemptions/{sale}")).json()["status"] == "voided"
    again = (await reverse(pos, key)).json()
    assert (again["outcome"], again["target_id"]) == ("nothing_to_reverse", sale)
    assert (again["amount"], again["allocations"], again["card"]) == (None, [], None)


async def test_after_a_refund_the_rest_is_reversed(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    key = shop.new_key()
    sale = await shop.sold(pos, card, 8_000, key=key)
    part = {"amount": shop.yuan(3_000)}
    await pos.post(f"/v1/redemptions/{sale}/refunds", part, shop.new_key())
    got = (await reverse(pos, key)).json()
    assert (got["outcome"], got["amount"]["value"]) == ("reversed", 5_000)
    assert (await pos.get(f"/v1/redemptions/{sale}")).json()["status"] == "refunded"
    assert await shop.balances(pos, card) == (10_000, 0)


async def test_a_key_never_seen_is_blocked_for_ever(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    key = shop.new_key()
    got = (await reverse(pos, key)).json()
    assert (got["outcome"], got["target_id"], got["card"]) == ("blocked", None, None)
    late = await shop.redeem(pos, card, 100, key=key)
    assert (late.status, late.json()["code"]) == (409, "reversed_before_arrival")
    assert (late.json()["outcome"], late.json()["retry"]) == ("not_applied", "new_key")
    assert (await reverse(pos, key)).json()["outcome"] == "blocked"
    assert await shop.balances(pos, card) == (1_000, 0)


async def test_a_refused_sale_left_nothing_to_reverse(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 100)
    key = shop.new_key()
    refused = await shop.redeem(pos, card, 500, key=key)
    got = (await reverse(pos, key)).json()
    assert got["outcome"] == "nothing_to_reverse"
    assert got["target_id"].startswith(("opn_", "rdm_"))
    again = await shop.redeem(pos, card, 500, key=key)
    assert again.status in (refused.status, 422)


async def test_a_top_up_is_reversed_with_its_bonus(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.issue(office, tenant)
    key = shop.new_key()
    await shop.top_up(pos, card, 30_000, key=key)
    assert await shop.balances(pos, card) == (30_000, 5_000)
    got = (await reverse(pos, key)).json()
    assert (got["outcome"], got["card"]["balances"]["total"]) == ("reversed", 0)
    assert sorted((part["account"], part["value"]) for part in got["allocations"]) == [
        ("bonus", 5_000),
        ("principal", 30_000),
    ]
    assert (await reverse(pos, key)).json()["outcome"] == "nothing_to_reverse"
    assert await shop.balances(pos, card) == (0, 0)


async def test_a_spent_top_up_is_not_reversed(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.issue(office, tenant)
    key = shop.new_key()
    await shop.top_up(pos, card, 30_000, key=key)
    sale_key = shop.new_key()
    await shop.sold(pos, card, 1, key=sale_key)
    refused = await reverse(pos, key)
    assert (refused.status, refused.json()["code"]) == (409, "reversal_refused")
    [reason] = refused.json()["reasons"]
    assert (reason["code"], reason["missing_minor"]) == ("value_already_spent", 1)
    assert reason["card_id"] == card.card_id
    assert await shop.balances(pos, card) == (30_000, 4_999)
    await reverse(pos, sale_key)
    assert (await reverse(pos, key)).json()["outcome"] == "reversed"


async def test_what_is_not_reversible(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 1_000)
    sale = await shop.sold(pos, card, 100)
    keys = [shop.new_key() for _ in range(4)]
    await pos.post(f"/v1/redemptions/{sale}/refunds", {}, keys[0])
    await pos.post("/v1/reversals", {"idempotency_key": "never-seen-0005"}, keys[1])
    await pos.post("/v1/cards", {"template_id": tenant.template_id, "activate": True}, keys[2])
    await pos.post(f"/v1/redemptions/{await shop.sold(pos, card, 1)}/void", {}, keys[3])
    for key in keys:
        answer = await reverse(pos, key)
        assert (answer.status, shop.reasons(answer)) == (409, ["not_reversible"])
        assert answer.json()["reasons"][0]["allowed"] == ["redeem", "top_up"]


async def test_another_clients_key_needs_a_permission(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf, postgres: Server
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    key = shop.new_key()
    await shop.sold(pos, card, 100, key=key)
    before = await shop.rows(postgres, tenant.merchant_id)
    async with client_of(tenant.pos_keys[1]) as other_till:
        answer = await reverse(other_till, key)
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")
    assert shop.reasons(answer) == ["other_clients_key"]
    assert answer.json()["reasons"][0]["allowed"] == ["reversals:any"]
    assert await shop.rows(postgres, tenant.merchant_id) == before
    assert (await reverse(office, key)).json()["outcome"] == "reversed"


async def test_another_merchants_key_was_never_seen(
    pos: Client, office: Client, tenant: Tenant, other: Tenant, client_of: ClientOf
) -> None:
    card = await shop.funded(office, tenant, 1_000)
    key = shop.new_key()
    await shop.sold(pos, card, 100, key=key)
    async with client_of(other.merchant_key) as theirs:
        assert (await reverse(theirs, key)).json()["outcome"] == "blocked"
    assert await shop.balances(pos, card) == (900, 0)


async def test_a_reversal_of_its_own_key(pos: Client, tenant: Tenant) -> None:
    key = shop.new_key()
    answer = await pos.post("/v1/reversals", {"idempotency_key": key}, key)
    assert (answer.status, answer.json()["code"]) == (422, "contradiction")


async def test_a_reversal_that_meets_its_sale(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    """Whichever comes first: the card is whole, and both answers tell the same story."""
    card = await shop.funded(office, tenant, 10_000)

    async def sell(key: str) -> Response:
        async with client_of(tenant.pos_keys[0]) as till:
            return await shop.redeem(till, card, 100, key=key)

    async def undo(key: str) -> Response:
        async with client_of(tenant.pos_keys[0]) as till:
            return await reverse(till, key)

    for _ in range(20):
        key = shop.new_key()
        sale, undone = await asyncio.gather(sell(key), undo(key))
        assert undone.status == 201
        story = (sale.status, undone.json()["outcome"])
        assert story in {(201, "reversed"), (409, "blocked")}
        assert sale.status == 201 or sale.json()["code"] == "reversed_before_arrival"
    assert await shop.balances(pos, card) == (10_000, 0)
