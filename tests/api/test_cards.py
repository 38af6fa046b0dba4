"""The life of a card at the counter: issued, activated, found by its number, frozen, expired.

THREAT-T6, THREAT-T9.
"""

import asyncio

import pytest

from service.kernel.embedded import Server
from service.rules.luhn import valid
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant

THREE_YEARS = {"type": "after_activation", "period": "P3Y"}


async def look_up(client: Client, number: str) -> Response:
    """Ask for a card by its number."""
    return await client.post("/v1/cards/lookup", {"card_number": number})


async def test_issue_shows_the_whole_number_once(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    body = {"template_id": tenant.template_id}
    answer = await office.post("/v1/cards", body, shop.new_key())
    card = answer.json()
    assert answer.status == 201
    assert (card["status"], card["version"], card["template_version"]) == ("created", 1, 1)
    assert (card["activated_at"], card["expires_on"]) == (None, None)
    assert card["balances"] == {"principal": 0, "bonus": 0, "total": 0, "currency": "CNY"}
    number = card["card_number"]
    assert valid(number)
    assert (len(number), number[:4]) == (16, "8800")
    assert card["masked_number"] == f"8800 **** **** {number[-4:]}"
    read = await pos.get(f"/v1/cards/{card['id']}")
    assert number.encode() not in read.body
    assert read.json() == {
        **{name: value for name, value in card.items() if name != "card_number"},
        "lots": [],
    }


async def test_numbers_can_not_be_guessed_from_one_another(office: Client, tenant: Tenant) -> None:
    numbers = [(await shop.issue(office, tenant)).number for _ in range(20)]
    assert len({number[4:12] for number in numbers}) == 20


async def test_a_template_that_is_not_there(office: Client, tenant: Tenant) -> None:
    for template_id in ("tpl_" + "0" * 26, "crd_" + "0" * 26):
        answer = await office.post("/v1/cards", {"template_id": template_id}, shop.new_key())
        assert (answer.status, answer.json()["code"]) == (404, "not_found")


async def test_the_last_card_of_a_limited_template(office: Client, tenant: Tenant) -> None:
    template_id = await shop.publish(office, max_cards=3)

    async def issue(position: int) -> Response:
        body = {"template_id": template_id}
        async with asyncio.timeout(30):
            return await office.post("/v1/cards", body, f"limited-{template_id}-{position}")

    statuses = [(await issue(position)).status for position in range(5)]
    assert statuses == [201, 201, 201, 409, 409]
    refused = await office.post("/v1/cards", {"template_id": template_id}, shop.new_key())
    assert refused.json()["code"] == "operation_refused"
    assert shop.reasons(refused) == ["issue_limit_reached"]


async def test_activation_starts_the_validity(office: Client, tenant: Tenant) -> None:
    template_id = await shop.publish(office, validity=THREE_YEARS)
    await shop.move_clock(office, "2031-02-28T15:59:00Z")  # 23:59 in Shanghai
    card = await shop.issue(office, tenant, template_id, activate=False)
    assert (await office.get(f"/v1/cards/{card.card_id}")).json()["expires_on"] is None
    answer = await office.post(f"/v1/cards/{card.card_id}/activate", {}, shop.new_key())
    assert answer.json()["status"] == "active"
    assert answer.json()["activated_at"] == "2031-02-28T15:59:00Z"
    assert answer.json()["expires_on"] == "2034-02-27"
    assert answer.json()["version"] == 2


async def test_a_card_activated_with_its_issue_has_its_validity(
    office: Client, tenant: Tenant
) -> None:
    template_id = await shop.publish(office, validity=THREE_YEARS)
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    body = {"template_id": template_id, "activate": True}
    answer = await office.post("/v1/cards", body, shop.new_key())
    assert answer.json()["expires_on"] == "2034-02-28"


async def test_an_expired_card_keeps_its_money_and_gives_none(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    template_id = await shop.publish(office, validity={"type": "after_activation", "period": "P1Y"})
    await shop.move_clock(office, "2031-03-01T02:00:00Z")
    card = await shop.funded(office, tenant, 10_000, template_id)
    await shop.move_clock(office, "2032-02-29T15:59:59Z")
    assert (await shop.redeem(pos, card, 1_000)).status == 201
    await shop.move_clock(office, "2032-02-29T16:00:00Z")
    refused = await shop.redeem(pos, card, 1_000)
    assert (refused.status, shop.reasons(refused)) == (409, ["card_expired"])
    refused = await shop.top_up(pos, card, 1_000)
    assert (refused.status, shop.reasons(refused)) == (409, ["card_expired"])
    shown = (await pos.get(f"/v1/cards/{card.card_id}")).json()
    assert shown["status"] == "expired"
    assert shown["balances"]["total"] == 9_000


@pytest.mark.parametrize(
    ("state", "move", "allowed"),
    [
        ("created", "freeze", ["activate"]),
        ("created", "unfreeze", ["activate"]),
        ("active", "activate", ["freeze"]),
        ("active", "unfreeze", ["freeze"]),
        ("frozen", "activate", ["unfreeze"]),
        ("frozen", "freeze", ["unfreeze"]),
    ],
)
async def test_other_moves_are_refused_with_what_is_allowed(
    office: Client, tenant: Tenant, state: str, move: str, allowed: list[str]
) -> None:
    card = await shop.issue(office, tenant, activate=state != "created")
    if state == "frozen":
        assert (
            await office.post(f"/v1/cards/{card.card_id}/freeze", {}, shop.new_key())
        ).status == 200
    answer = await office.post(f"/v1/cards/{card.card_id}/{move}", {}, shop.new_key())
    assert (answer.status, answer.json()["code"]) == (409, "operation_refused")
    [reason] = answer.json()["reasons"]
    assert (reason["code"], reason["allowed"]) == ("transition_not_allowed", allowed)
    assert reason["card_id"] == card.card_id
    assert (await office.get(f"/v1/cards/{card.card_id}")).json()["status"] == state


async def test_a_frozen_card_takes_and_gives_nothing_but_refunds(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    refunded, voided, reversed_ = [await shop.sold(pos, card, 1_000) for _ in range(3)]
    key = shop.new_key()
    assert (await shop.redeem(pos, card, 500, key=key)).status == 201
    frozen = await office.post(
        f"/v1/cards/{card.card_id}/freeze", {"reason": "reported stolen"}, shop.new_key()
    )
    assert (frozen.status, frozen.json()["status"]) == (200, "frozen")
    for answer in (await shop.redeem(pos, card, 100), await shop.top_up(pos, card, 100)):
        assert (answer.status, shop.reasons(answer)) == (409, ["card_frozen"])
    refund = await pos.post(f"/v1/redemptions/{refunded}/refunds", {}, shop.new_key())
    void = await pos.post(f"/v1/redemptions/{voided}/void", {}, shop.new_key())
    reversal = await pos.post("/v1/reversals", {"idempotency_key": key}, shop.new_key())
    assert [refund.status, void.status, reversal.status] == [201, 201, 201]
    assert await shop.balances(pos, card) == (9_000, 0)
    assert (await pos.get(f"/v1/redemptions/{reversed_}")).json()["status"] == "captured"
    thawed = await office.post(f"/v1/cards/{card.card_id}/unfreeze", {}, shop.new_key())
    assert thawed.json()["status"] == "active"
    assert (await shop.redeem(pos, card, 100)).status == 201


async def test_a_till_may_not_freeze(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.issue(office, tenant)
    for move in ("freeze", "unfreeze"):
        answer = await pos.post(f"/v1/cards/{card.card_id}/{move}", {}, shop.new_key())
        assert (answer.status, answer.json()["code"]) == (403, "forbidden")
        assert answer.json()["reasons"][0]["allowed"] == ["cards:freeze"]


async def test_look_up_by_number(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 30_000)
    answer = await look_up(pos, card.number)
    assert answer.status == 200
    found = answer.json()
    assert (found["id"], found["status"]) == (card.card_id, "active")
    assert [(lot["account"], lot["remaining"]) for lot in found["lots"]] == [
        ("bonus", 5_000),
        ("principal", 30_000),
    ]
    assert card.number.encode() not in answer.body
    assert answer.body == (await pos.get(f"/v1/cards/{card.card_id}")).body


async def test_who_does_not_hold_a_card_learns_nothing(
    pos: Client, office: Client, tenant: Tenant, other: Tenant, client_of: ClientOf,
    postgres: Server,
) -> None:  # fmt: skip
    inactive = await shop.issue(office, tenant, activate=False)
    async with client_of(other.merchant_key) as theirs:
        foreign = await shop.funded(theirs, other, 1_000)
    numbers = ["8800000000000000", inactive.number, foreign.number]
    before = await shop.rows(postgres, tenant.merchant_id)
    for path, body in (
        ("/v1/cards/lookup", {}),
        ("/v1/redemptions", {"request_no": "POS1-1", "amount": shop.yuan(100)}),
        ("/v1/redemptions/quote", {"amount": shop.yuan(100)}),
    ):
        answers = []
        for number in numbers:
            named = {"card_number": number} if not body else {"sources": [{"card_number": number}]}
            key = shop.new_key() if path == "/v1/redemptions" else None
            answers.append(await pos.post(path, {**body, **named}, key))
        assert [answer.status for answer in answers] == [404] * 3, path
        assert len({shop.without_request_id(answer) for answer in answers}) == 1
        assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
        problem = answers[0].json()
        assert (problem["code"], problem["reasons"]) == ("card_not_found", [])
        assert (problem["outcome"], problem["retry"]) == ("not_applied", "new_key")
    assert await shop.rows(postgres, tenant.merchant_id) == before


async def test_a_key_of_an_unknown_number_is_free_again(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.issue(office, tenant, activate=False)
    body, key = shop.sale(card, 100), shop.new_key()
    assert (await pos.post("/v1/redemptions", body, key)).status == 404
    await office.post(f"/v1/cards/{card.card_id}/activate", {}, shop.new_key())
    await shop.top_up(pos, card, 100)
    answer = await pos.post("/v1/redemptions", body, key)
    assert answer.status == 201
    assert "idempotent-replayed" not in answer.headers
