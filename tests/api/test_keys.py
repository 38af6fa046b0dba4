"""Idempotency as a till lives it: the request again, another by mistake, a refusal again."""

import asyncio
import json
from typing import Any

import pytest

from service.kernel.embedded import Server
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant


def assert_replay(first: Response, again: Response) -> None:
    """The same bytes under the same status, marked as a replay, with an X-Request-Id of its own."""
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


async def test_every_write_replays_its_answer(pos: Client, office: Client, tenant: Tenant) -> None:
    new = {"template_id": tenant.template_id}
    steps: list[tuple[Client, str, dict[str, Any]]] = [(office, "/v1/cards", new)]
    card = await shop.issue(office, tenant, activate=False)
    at_card = f"/v1/cards/{card.card_id}"
    money = {"amount": shop.yuan(30_000), "tender": "cash"}
    steps.append((office, f"{at_card}/activate", {"reason": "sold"}))
    steps.append((pos, f"{at_card}/top-ups", money))
    steps.append((pos, "/v1/redemptions", shop.sale(card, 100)))
    steps.append((office, f"{at_card}/freeze", {}))
    steps.append((office, f"{at_card}/unfreeze", {}))
    for client, path, body in steps:
        key = shop.new_key()
        first = await client.post(path, body, key)
        assert first.status in (200, 201), first.body
        assert_replay(first, await client.post(path, body, key))
    sale = await shop.sold(pos, card, 500)
    for path, back in (
        (f"/v1/redemptions/{sale}/refunds", {"amount": shop.yuan(100)}),
        ("/v1/reversals", {"idempotency_key": "never-seen-0001"}),
    ):
        key = shop.new_key()
        first = await pos.post(path, back, key)
        assert first.status == 201, first.body
        assert_replay(first, await pos.post(path, back, key))
    day = await shop.sold(pos, card, 500)
    key = shop.new_key()
    first = await pos.post(f"/v1/redemptions/{day}/void", {}, key)
    assert_replay(first, await pos.post(f"/v1/redemptions/{day}/void", {}, key))


async def test_order_of_fields_and_blanks_do_not_matter(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    body, key = shop.sale(card, 100), shop.new_key()
    first = await pos.post("/v1/redemptions", body, key)
    turned = json.dumps(dict(reversed(body.items())), indent=4).encode()
    assert_replay(first, await pos.post("/v1/redemptions", turned, key))
    assert await shop.balances(pos, card) == (9_900, 0)


async def test_another_body_under_a_used_key(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 10_000)
    body, key = shop.sale(card, 100), shop.new_key()
    first = await pos.post("/v1/redemptions", body, key)
    other = await pos.post("/v1/redemptions", {**body, "amount": shop.yuan(101)}, key)
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (other.json()["outcome"], other.json()["retry"]) == ("not_applied", "new_key")
    assert_replay(first, await pos.post("/v1/redemptions", body, key))
    assert await shop.balances(pos, card) == (9_900, 0)


async def test_another_route_under_a_used_key(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 10_000)
    key = shop.new_key()
    assert (await office.post(f"/v1/cards/{card.card_id}/freeze", {}, key)).status == 200
    other = await office.post(f"/v1/cards/{card.card_id}/unfreeze", {}, key)
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await office.get(f"/v1/cards/{card.card_id}")).json()["status"] == "frozen"


async def test_another_card_under_a_used_key(pos: Client, office: Client, tenant: Tenant) -> None:
    first_card, other_card = [await shop.issue(office, tenant) for _ in range(2)]
    key = shop.new_key()
    assert (await shop.top_up(pos, first_card, 500, key=key)).status == 201
    other = await shop.top_up(pos, other_card, 500, key=key)
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await shop.balances(pos, other_card) == (0, 0)


async def test_a_refusal_is_sticky(pos: Client, office: Client, tenant: Tenant) -> None:
    card = await shop.funded(office, tenant, 100)
    body, key = shop.sale(card, 500), shop.new_key()
    refused = await pos.post("/v1/redemptions", body, key)
    assert (refused.status, refused.json()["code"]) == (409, "redemption_refused")
    assert (refused.json()["outcome"], refused.json()["retry"]) == ("not_applied", "new_key")
    assert (await shop.top_up(pos, card, 1_000)).status == 201
    again = await pos.post("/v1/redemptions", body, key)
    assert_replay(refused, again)
    assert again.json()["request_id"] == refused.headers["x-request-id"]
    with_new_key = await pos.post("/v1/redemptions", body, shop.new_key())
    assert with_new_key.status == 201
    assert await shop.balances(pos, card) == (600, 0)


async def test_a_refusal_does_not_raise_the_version(
    pos: Client, office: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 100)
    before = (await pos.get(f"/v1/cards/{card.card_id}")).json()["version"]
    assert (await shop.redeem(pos, card, 500)).status == 409
    assert (await pos.get(f"/v1/cards/{card.card_id}")).json()["version"] == before


@pytest.mark.parametrize(
    "body",
    [b"{", b"{}", json.dumps({"idempotency_key": 5}).encode()],
    ids=["malformed", "missing", "wrong type"],
)
async def test_a_bad_body_uses_no_key(
    pos: Client, tenant: Tenant, postgres: Server, body: bytes
) -> None:
    key = shop.new_key()
    assert (await pos.post("/v1/reversals", body, key)).status == 400
    good = await pos.post("/v1/reversals", {"idempotency_key": "never-seen-0002"}, key)
    assert good.status == 201
    assert "idempotent-replayed" not in good.headers


async def test_keys_of_two_merchants_are_apart(
    pos: Client, office: Client, tenant: Tenant, other: Tenant, client_of: ClientOf
) -> None:
    card, key = await shop.funded(office, tenant, 1_000), shop.new_key()
    assert (await shop.redeem(pos, card, 100, key=key)).status == 201
    async with client_of(other.merchant_key) as theirs:
        card = await shop.funded(theirs, other, 1_000)
        answer = await shop.redeem(theirs, card, 100, key=key, store_id=other.store_ids[0])
    assert answer.status == 201
    assert "idempotent-replayed" not in answer.headers


async def test_a_key_is_the_merchants_and_another_store_makes_it_another_request(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card, key = await shop.funded(office, tenant, 1_000), shop.new_key()
    body = shop.sale(card, 100)
    first = await pos.post("/v1/redemptions", body, key)
    async with client_of(tenant.pos_keys[1]) as second_till:
        other = await second_till.post("/v1/redemptions", body, key)
    assert_replay(first, await pos.post("/v1/redemptions", body, key))
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await shop.balances(pos, card) == (900, 0)


async def test_many_at_once_with_one_key_happen_once(
    pos: Client, office: Client, tenant: Tenant, client_of: ClientOf
) -> None:
    card, key = await shop.funded(office, tenant, 1_000), shop.new_key()
    body = shop.sale(card, 100)

    async def send() -> Response:
        async with client_of(tenant.pos_keys[0]) as till:
            return await till.post("/v1/redemptions", body, key)

    answers = await asyncio.gather(*[send() for _ in range(16)])
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert await shop.balances(pos, card) == (900, 0)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "idempotency_key_required"),
        ("1234567", "idempotency_key_invalid"),
        ("k" * 129, "idempotency_key_invalid"),
        ("clé-0000001", "idempotency_key_invalid"),
        ("tab\tkey-0001", "idempotency_key_invalid"),
    ],
)
async def test_a_key_that_can_not_be(pos: Client, key: str | None, code: str) -> None:
    answer = await pos.post("/v1/reversals", {"idempotency_key": "never-seen-0003"}, key)
    assert (answer.status, answer.json()["code"]) == (400, code)
    assert answer.json()["retry"] == "new_key"


@pytest.mark.parametrize("key", ["12345678", "k" * 128, "!with blanks ~"])
async def test_a_key_at_the_bounds(pos: Client, key: str) -> None:
    answer = await pos.post("/v1/reversals", {"idempotency_key": "never-seen-0004"}, key)
    assert answer.status == 201
