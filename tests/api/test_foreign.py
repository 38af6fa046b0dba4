"""Another merchant's objects answer as if they were not there, on every route with an id.

THREAT-T12.
"""

import re
from typing import Any

import pytest
from msgspec import Struct

from service.api_keys import operations as api_keys
from service.kernel import database
from service.kernel.embedded import Server
from tests.api import shop
from tests.api.conftest import ROUTES, anyone_of
from tests.conftest import ClientOf
from tests.harness import approvals, contract, holds, people, platform
from tests.harness.client import Client
from tests.harness.server import Server as Service
from tests.harness.tenant import Tenant

BODIES: dict[str, dict[str, Any]] = {
    "create_top_up": {"amount": shop.yuan(1), "tender": "cash"},
    "close_day": {"change_no": 0},
    "reopen_day": {"change_no": 0, "reason": "a mistake"},
}


async def _organisation(
    server: Service, other: Tenant, client_of: ClientOf, member_id: str
) -> dict[str, str]:
    """An area, somebody with a session, a key, a member's hold, and something that waits."""
    pool = await database.open_pool(server.postgres.app_dsn, 1)
    try:
        keys = people.keys_of(server.data_dir)
        person = await people.hire(pool, keys, other.merchant_id, "owner")
        key = await api_keys.create(pool, other.merchant_id, "theirs", "merchant", None)
        store_id = other.store_ids[0]
        approval_id, _ = await approvals.waiting(pool, other.merchant_id, store_id)
        hold_id = await holds.placed(pool, other.merchant_id, member_id)
        visit_id, _ = await platform.visiting(
            pool,
            keys,
            client_of,
            await platform.tenant_of(pool),
            other.merchant_id,
            "visiting_support",
        )
    finally:
        await pool.close()
    async with client_of(other.merchant_key) as client:
        area = (await client.post("/v1/areas", {"name": "theirs"})).json()
    async with client_of(person.token) as boss:
        me = (await boss.get("/v1/me")).json()
    return {
        "area_id": area["id"],
        "user_id": person.user_id,
        "session_id": person.session_id,
        "api_key_id": key.api_key_id,
        "approval_id": approval_id,
        "legal_hold_id": hold_id,
        "visit_id": visit_id,
        "grant_id": me["user"]["roles"][0]["id"],
    }


WITH_ID = [route for route in ROUTES if "{" in route.path]


class Theirs(Struct):
    """What the other merchant has, by the parameter that names it."""

    ids: dict[str, str]
    number: str
    store_id: str


@pytest.fixture(name="theirs")
async def _theirs(other: Tenant, client_of: ClientOf, server: Service) -> Theirs:
    async with client_of(other.merchant_key) as client:
        card = await shop.funded(client, other, 1_000)
        sale = await shop.sold(client, card, 100, store_id=other.store_ids[0])
        member_id = await shop.member(client)
        assert (await shop.bind(client, member_id, card)).status == 201
    ids = {
        "member_id": member_id,
        "card_id": card.card_id,
        "template_id": other.template_id,
        "redemption_id": sale,
        "operation_id": sale,
        "store_id": other.store_ids[0],
        "node_id": other.store_ids[0],
        **await _organisation(server, other, client_of, member_id),
    }
    return Theirs(ids, card.number, other.store_ids[0])


@pytest.mark.parametrize("route", WITH_ID, ids=[route.operation_id for route in WITH_ID])
async def test_a_foreign_id_is_an_absent_one(
    server: Service, tenant: Tenant, theirs: Theirs, postgres: Server, route: Any
) -> None:
    name, *others = re.findall(r"\{(\w+_id)\}", route.path)
    async with await anyone_of(server, tenant) as anyone:
        await _ask_for(anyone, tenant, theirs, postgres, route, name, others)


async def _ask_for(
    office: Client,
    tenant: Tenant,
    theirs: Theirs,
    postgres: Server,
    route: Any,
    name: str,
    others: list[str],
) -> None:
    own = await shop.issue(office, tenant)
    path_of = route.path
    beside = {"card_id": own.card_id, "grant_id": "grt_" + "0" * 26}
    beside["legal_hold_id"] = "lgh_" + "0" * 26
    for other in others:  # beside what is theirs, what is ours
        path_of = path_of.replace(f"{{{other}}}", beside[other])
    before = await shop.rows(postgres, tenant.merchant_id)
    answers = []
    absent = f"{contract.ID_PREFIXES[name]}_{'0' * 26}"
    for value in (theirs.ids[name], absent, "crd_x", "opn_" + "0" * 26, "%00", "a" * 300):
        path = path_of.replace(f"{{{name}}}", value)
        path = path.replace("{business_date}", contract.BUSINESS_DATE)
        if route.method == "GET":
            answers.append(await office.get(path))
        else:
            at_home = "store_id" in (route.example_body or {})
            body = {"store_id": tenant.store_ids[0]} if at_home else {}
            body |= BODIES.get(route.operation_id, route.example_body or {})
            key = shop.new_key() if route.idempotent else None
            answers.append(await office.post(path, body, key))
    assert {(a.status, a.json()["code"]) for a in answers} == {(404, "not_found")}
    assert len({shop.without_request_id(answer) for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1
    assert await shop.rows(postgres, tenant.merchant_id) == before


async def test_a_foreign_template_can_not_be_issued(
    office: Client, tenant: Tenant, theirs: Theirs
) -> None:
    answers = [
        await office.post("/v1/cards", {"template_id": template_id}, shop.new_key())
        for template_id in (theirs.ids["template_id"], "tpl_" + "0" * 26)
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({shop.without_request_id(answer) for answer in answers}) == 1


async def test_a_foreign_card_can_not_pay(office: Client, tenant: Tenant, theirs: Theirs) -> None:
    for sources in (
        [theirs.ids["card_id"], "crd_" + "0" * 26],
        [theirs.number, "8800000000000000"],
    ):
        for path in ("/v1/redemptions", "/v1/redemptions/quote"):
            answers = []
            for source in sources:
                field = "card_id" if source.startswith("crd_") else "card_number"
                body = {"amount": shop.yuan(1), "sources": [{field: source}]}
                body["store_id"] = tenant.store_ids[0]
                key = None if path.endswith("quote") else shop.new_key()
                numbered = body if key is None else {**body, "request_no": "A-1"}
                answers.append(await office.post(path, numbered, key))
            assert {answer.status for answer in answers} == {404}
            assert len({shop.without_request_id(answer) for answer in answers}) == 1


async def test_a_foreign_store_is_none(office: Client, tenant: Tenant, theirs: Theirs) -> None:
    card = await shop.funded(office, tenant, 1_000)
    answers = [
        await shop.redeem(office, card, 1, store_id=store_id)
        for store_id in (theirs.store_id, "sto_" + "0" * 26)
    ]
    assert {(answer.status, *shop.reasons(answer)) for answer in answers} == {
        (422, "store_unknown")
    }
    assert len({shop.without_request_id(answer) for answer in answers}) == 1


async def test_a_foreign_terminal_did_nothing(
    office: Client, tenant: Tenant, theirs: Theirs, other: Tenant, client_of: ClientOf
) -> None:
    async with client_of(other.merchant_key) as client:
        card = await shop.funded(client, other, 1_000)
        till = {"terminal_id": "T2"}
        await shop.sold(client, card, 100, store_id=theirs.store_id, till=till)
    answers = [
        await office.get(f"/v1/operations/last?terminal_id=T2&store_id={store_id}")
        for store_id in (theirs.store_id, "sto_" + "0" * 26, tenant.store_ids[0])
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({shop.without_request_id(answer) for answer in answers}) == 1


async def test_lists_show_ones_own(
    office: Client, tenant: Tenant, theirs: Theirs, other: Tenant
) -> None:
    listed = await office.get("/v1/card-templates?limit=200")
    assert [template["id"] for template in listed.json()["data"]] == [tenant.template_id]
    found = await office.get(f"/v1/redemptions?request_no=A-1&store_id={theirs.store_id}")
    assert (found.status, found.json()) == (200, {"data": []})
