"""Tenants, each with some of everything, every string of theirs with their watermark."""

import asyncio
import json
from datetime import time
from itertools import count
from typing import Any

from msgspec import Struct

from service.api_keys import operations as api_keys
from service.kernel import database
from service.ledger.door import Keys
from service.merchants import operations as merchants
from service.stores import operations as stores
from tests.harness import approvals, people, platform
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import TEMPLATE, ZONE

SETTLERS = 16
SALES = 3
_numbers = count(1)


class Tenant(Struct):
    """A merchant: `ids` by their prefix, `keys` by what they are for, and what it is known by."""

    mark: str
    ids: dict[str, str]
    keys: dict[str, str]
    number: str = ""


def mark_of(index: int) -> str:
    """What every string of a tenant's holds: found by `MARK`, part of no id."""
    return f"wm-{index:04d}-x"


def fresh_no(mark: str) -> str:
    """A request number nobody has."""
    return f"{mark}-{next(_numbers)}"


async def settle(server: Server, how_many: int) -> list[Tenant]:
    """Make so many tenants and let each live a little."""
    pool = await database.open_pool(server.postgres.app_dsn, 4)
    keys = people.keys_of(server.data_dir)
    try:
        platform_id = await platform.tenant_of(pool)
        made: list[Tenant] = []
        indexes = iter(range(how_many))

        async def work() -> None:
            for index in indexes:
                tenant = await _make(pool, keys, platform_id, mark_of(index))
                await _live(server, tenant)
                made.append(tenant)

        await asyncio.gather(*(work() for _ in range(SETTLERS)))
    finally:
        await pool.close()
    return made


async def _make(pool: database.Pool, keys: Keys, platform_id: str, mark: str) -> Tenant:
    merchant_id = (await merchants.create(pool, f"青禾 {mark}", "test", "CNY", ZONE)).merchant_id
    store = await stores.create(pool, merchant_id, f"一店 {mark}", f"公司 {mark}", ZONE, time(4))
    till = await api_keys.create(pool, merchant_id, f"till {mark}", "pos", store.store_id)
    office = await api_keys.create(pool, merchant_id, f"office {mark}", "merchant", None)
    spare = await api_keys.create(pool, merchant_id, f"spare {mark}", "merchant", None)
    boss = await people.hire(pool, keys, merchant_id, "owner")
    another = await people.sign_in(pool, merchant_id, boss.user_id, second_factor=True)
    cashier = await people.hire(pool, keys, merchant_id, "cashier", store.store_id)
    visitors = [await people.hire(pool, keys, platform_id, "platform_support") for _ in range(3)]
    request = json.dumps({"body": {"reason": f"reason {mark}"}})
    approval_id, _ = await approvals.waiting(pool, merchant_id, store.store_id, request)
    ids = {
        "mer": merchant_id,
        "apv": approval_id,
        "sto": store.store_id,
        "key": till.api_key_id,
        "spare_key": spare.api_key_id,
        "ses": another.session_id,
        "usr": cashier.user_id,
    }
    shown = {"pos": till.token, "merchant": office.token, "boss": boss.token}
    shown |= {f"visitor {number}": each.token for number, each in enumerate(visitors)}
    return Tenant(mark, ids, shown)


def labels(mark: str) -> dict[str, str]:
    """What a till writes on whatever it does."""
    names = ("terminal_id", "operator", "shift", "receipt_no")
    return {name: f"{name[:8]} {mark}" for name in names}


async def _live(server: Server, tenant: Tenant) -> None:
    """A template, a member with a card, a top-up, sales, a refund and a refusal."""
    mark, ids = tenant.mark, tenant.ids
    async with (
        Client(server.host, server.port, tenant.keys["merchant"]) as office,
        Client(server.host, server.port, tenant.keys["pos"]) as till,
        Client(server.host, server.port, tenant.keys["boss"]) as boss,
    ):

        async def done(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = await client.post_patiently(path, body, fresh_no(mark))
            if answer.status not in (200, 201):
                raise RuntimeError(f"{path}: {answer.status} {answer.body!r}")
            found: dict[str, Any] = answer.json()
            return found

        ids["are"] = (await done(office, "/v1/areas", {"name": f"area {mark}"}))["id"]
        cashier: dict[str, Any] = (await boss.get(f"/v1/users/{ids['usr']}")).json()
        ids["grt"] = cashier["roles"][0]["id"]
        template = {**TEMPLATE, "name": f"金卡 {mark}"}
        ids["tpl"] = (await done(office, "/v1/card-templates", template))["id"]
        wanted = {"template_id": ids["tpl"], "activate": True}
        card = await done(office, "/v1/cards", wanted)
        ids["crd"], tenant.number = card["id"], card["card_number"]
        dormant = await done(office, "/v1/cards", {"template_id": ids["tpl"], "activate": False})
        ids["dormant"] = dormant["id"]
        known = {"external_id": mark, "full_name": mark}
        ids["mbr"] = (await done(office, "/v1/members", known))["id"]
        await done(office, f"/v1/members/{ids['mbr']}/cards", {"card_id": ids["crd"]})
        holds = f"/v1/members/{ids['mbr']}/legal-holds"
        ids["lgh"] = (await done(boss, holds, {"reason": f"order {mark}"}))["id"]
        visit = {"merchant_id": ids["mer"], "role": "visiting_support"}
        visit["reason"] = f"ticket of {mark}"
        begun = []
        for number in range(2):
            async with Client(server.host, server.port, tenant.keys[f"visitor {number}"]) as own:
                begun.append(await done(own, "/v1/visits", visit))
        ids["vis"], tenant.keys["visiting"] = begun[0]["visit"]["id"], begun[1]["token"]
        token = await done(office, f"/v1/members/{ids['mbr']}/tokens", {"expires_in_s": 3600})
        tenant.keys["member"] = token["token"]
        credit = {
            "amount": {"value": 50_000_000, "currency": "CNY"},
            "tender": "cash",
            "payment_reference": f"pay {mark}",
            "till": labels(mark),
        }
        ids["opn"] = (await done(till, f"/v1/cards/{ids['crd']}/top-ups", credit))["id"]
        for _ in range(SALES):
            ids["rdm"] = (await done(till, "/v1/redemptions", sale(tenant)))["id"]
        dear = sale(tenant) | {"amount": {"value": 10**12, "currency": "CNY"}, "lines": []}
        refused = await till.post("/v1/redemptions", dear, fresh_no(mark))
        if refused.status != 409:
            raise RuntimeError(f"not refused: {refused.status} {refused.body!r}")


def sale(tenant: Tenant) -> dict[str, Any]:
    """A redemption with a basket."""
    line = {
        "line_id": f"1 {tenant.mark}",
        "sku": f"CUT {tenant.mark}",
        "quantity": 1,
        "list_price": 10_000,
        "discount": 0,
        "tax": 0,
        "total": 10_000,
        "category": f"hair {tenant.mark}",
    }
    return {
        "request_no": fresh_no(tenant.mark),
        "amount": {"value": 10_000, "currency": "CNY"},
        "sources": [{"card_number": tenant.number}],
        "lines": [line],
        "till": labels(tenant.mark),
    }
