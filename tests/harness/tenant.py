"""A merchant of a test's own: stores, keys, a template, and cards with money on them.

Everything is keyed by merchant, so a fresh one is the cheapest clean slate there is.
"""

from datetime import time
from typing import Any

from msgspec import Struct

from service.api_keys import operations as api_keys
from service.kernel import database
from service.merchants import operations as merchants
from service.stores import operations as stores
from tests.harness.client import Client

ZONE = "Asia/Shanghai"
TEMPLATE: dict[str, Any] = {
    "name": "金卡",
    "currency": "CNY",
    "holder": "anonymous",
    "numbering": {"prefix": "8800", "digits": 16},
    "max_balance": 100_000_000,
    "drawdown_policy": "bonus_first",
    "top_up_rules": [{"pay": 30000, "bonus": 5000, "bonus_validity": "P1Y"}],
}


class Tenant(Struct):
    """Ids and keys of a merchant: `pos_keys[i]` is bound to `store_ids[i]`."""

    merchant_id: str
    store_ids: list[str]
    pos_keys: list[str]
    merchant_key: str
    template_id: str


class TestCard(Struct):
    """A card of a test."""

    __test__ = False

    card_id: str
    number: str


async def make(
    app_dsn: str,
    client_of: Any,
    stores_count: int = 1,
    template: dict[str, Any] | None = None,
    mode: str = "test",
) -> Tenant:
    """A new merchant with stores and keys.

    Its template is published over HTTP, with `client_of(token)`.
    """
    pool = await database.open_pool(app_dsn, 1)
    try:
        merchant = await merchants.create(pool, "青禾美发", mode, "CNY", ZONE)
        merchant_id = merchant.merchant_id
        store_ids, pos_keys = [], []
        for number in range(1, stores_count + 1):
            store = await stores.create(
                pool, merchant_id, f"门店{number}", "青禾美发管理有限公司", ZONE, time(4)
            )
            key = await api_keys.create(pool, merchant_id, f"till {number}", "pos", store.store_id)
            store_ids.append(store.store_id)
            pos_keys.append(key.token)
        office = await api_keys.create(pool, merchant_id, "mini-program", "merchant", None)
    finally:
        await pool.close()
    async with client_of(office.token) as client:
        template_id = await publish(client, template)
    return Tenant(merchant_id, store_ids, pos_keys, office.token, template_id)


async def publish(office: Client, template: dict[str, Any] | None = None) -> str:
    """A published template's id."""
    answer = await office.post("/v1/card-templates", template or TEMPLATE)
    assert answer.status == 201, answer.body
    return str(answer.json()["id"])


async def make_card(client: Client, tenant: Tenant, amount_minor: int, name: str) -> TestCard:
    """An active card holding `amount_minor` (0: empty).

    `client` carries the merchant's key; `name` makes the idempotency keys.
    """
    wanted = {"template_id": tenant.template_id, "activate": True}
    issued = await client.post("/v1/cards", wanted, f"{name}-issue")
    assert issued.status == 201, issued.body
    card = issued.json()
    if amount_minor:
        credit = {
            "amount": {"value": amount_minor, "currency": "CNY"},
            "tender": "cash",
            "store_id": tenant.store_ids[0],
        }
        topped = await client.post(f"/v1/cards/{card['id']}/top-ups", credit, f"{name}-top-up")
        assert topped.status == 201, topped.body
    return TestCard(card["id"], card["card_number"])
