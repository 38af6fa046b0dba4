"""星河美发: five stores in Shanghai and two cards. All invented."""

from datetime import time
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from service.api_keys import operations as api_keys
from service.kernel import database
from service.merchants import operations as merchants
from service.stores import operations as stores
from tests.demo.messages import Store, Template
from tests.demo.wares import ZONE
from tests.harness.client import Client

NAME = "星河美发"
OWN = "上海星河美发管理有限公司"
STORES = [
    Store("人民广场店", OWN, 0),
    Store("静安寺店", OWN, 0),
    Store("五角场店", OWN, 0),
    Store("徐家汇店", "上海霞帔美容美发有限公司", 0),  # a franchisee
    Store("衡山路夜店", OWN, 4),
]
GOLD: dict[str, Any] = {
    "name": "星河金卡",
    "currency": "CNY",
    "holder": "named",
    "numbering": {"prefix": "8810", "digits": 16},
    "max_balance": 500_000,
    "drawdown_policy": "pro_rata",
    "top_up_rules": [
        {"pay": 30_000, "bonus": 5_000, "bonus_validity": "P1Y"},
        {"pay": 100_000, "bonus": 20_000, "bonus_validity": "P1Y"},
    ],
}
PLAIN: dict[str, Any] = {
    "name": "星河便卡",
    "currency": "CNY",
    "holder": "anonymous",
    "numbering": {"prefix": "8820", "digits": 16},
    "max_balance": 100_000,
}
# What customers pay in at once, in fen: for each template.
PAYS = [[30_000, 50_000, 100_000], [20_000, 50_000]]


class Chain(Struct):
    """The merchant as set up: `till_keys[i]` is the key of the till in `stores[i]`."""

    merchant_id: str
    stores: list[Store]
    templates: list[Template]
    till_keys: list[str]
    office_key: str


async def set_up(app_dsn: str, host: str, port: int) -> Chain:
    """A merchant in test mode (its clock can be moved), stores, keys; templates over HTTP."""
    pool = await database.open_pool(app_dsn, 1)
    try:
        merchant_id = (await merchants.create(pool, NAME, "test", "CNY", ZONE)).merchant_id
        placed, keys = [], []
        for store in STORES:
            cutoff = time(store.day_cutoff_hour)
            made = await stores.create(
                pool, merchant_id, store.name, store.legal_entity, ZONE, cutoff
            )
            key = await api_keys.create(
                pool, merchant_id, f"till {store.name}", "pos", made.store_id
            )
            placed.append(replace(store, store_id=made.store_id))
            keys.append(key.token)
        office = await api_keys.create(pool, merchant_id, "mini-program", "merchant", None)
    finally:
        await pool.close()
    async with Client(host, port, office.token) as client:
        templates = [
            await _publish(client, rules, pays)
            for rules, pays in zip((GOLD, PLAIN), PAYS, strict=True)
        ]
    return Chain(merchant_id, placed, templates, keys, office.token)


async def _publish(client: Client, rules: dict[str, Any], pays: list[int]) -> Template:
    answer = await client.post("/v1/card-templates", rules)
    if answer.status != 201:
        raise RuntimeError(f"the template {rules['name']} was not published: {answer.body!r}")
    return Template(answer.json()["id"], rules["name"], pays)
