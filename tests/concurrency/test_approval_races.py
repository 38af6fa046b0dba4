"""Approvals under races: nothing is done that others did not agree to, and nothing twice.

THREAT-T10. In full: KAFANG_APPROVAL_ROUNDS=1000.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from msgspec import Struct

from service.api_keys import operations as api_keys
from service.kernel import database, embedded
from service.ledger.door import Keys
from tests.conftest import ClientOf
from tests.harness import people
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import TEMPLATE, Tenant, TestCard

ROUNDS = int(os.environ.get("KAFANG_APPROVAL_ROUNDS", "8"))
TURNS, PERHAPS = 3, 0.75
KINDS = ["refund", "void", "reversal", "template.publish", "api_key.create", "role.grant"]
KINDS += ["day.reopen", "authority.change"]
# What was decided or done that should not have been, whatever the order of things was.
ILLEGAL = """
select a.approval_id, a.kind, a.status, 'too few agreed' as fault from approval a
where a.status in ('approved', 'used') and a.approvers > (
  select count(distinct d.user_id) from approval_decision d
  where d.approval_id = a.approval_id and d.approved and d.user_id <> a.responsible_id)
union all
select a.approval_id, a.kind, a.status, 'somebody had said no' from approval a
where a.status in ('approved', 'used') and exists (
  select from approval_decision d where d.approval_id = a.approval_id and not d.approved)
union all
select a.approval_id, a.kind, a.status, 'decided by whoever asked' from approval_decision d
join approval a using (merchant_id, approval_id)
where d.user_id = a.responsible_id
"""

# What there is of each kind, once for each time that it was done.
EFFECTS = {
    "refund": "select count(*) from operation where kind = 'refund' and status = 'accepted'",
    "void": "select count(*) from operation where kind = 'void' and status = 'accepted'",
    "reversal": "select count(*) from operation where kind = 'reversal' and status = 'accepted'",
    "template.publish": "select count(*) from card_template where template_id <> $1",
    "api_key.create": "select count(*) from api_key where name = 'raced'",
    "role.grant": "select count(*) from role_grant where role = 'auditor'",
    "day.reopen": "select count(*) from day_change where action = 'reopen'",
    "authority.change": "select count(*) from authority",
}


class Cast(Struct):
    """Who takes part: one who asks, with two sessions and a key, and two others twice each."""

    tenant: Tenant
    pool: database.Pool
    keys: Keys
    admin: asyncpg.Connection
    asking: list[Client]
    deciding: list[Client]
    card: TestCard
    day: str = ""

    def everybody(self) -> list[Client]:
        """All their connections."""
        return [*self.asking, *self.deciding]

    async def count(self, query: str) -> int:
        """A number from the database."""
        async with self.admin.transaction():
            await self.admin.execute(
                "select set_config('kafang.merchant_id', $1, true)", self.tenant.merchant_id
            )
            values = [self.tenant.template_id] if "$1" in query else []
            found: int = await self.admin.fetchval(query, *values)
            return found


@pytest.fixture(name="cast")
async def _cast(
    server: Server, postgres: embedded.Server, tenant: Tenant, client_of: ClientOf
) -> AsyncIterator[Cast]:
    pool, keys = await database.open_pool(postgres.app_dsn, 2), people.keys_of(server.data_dir)
    merchant_id, store_id = tenant.merchant_id, tenant.store_ids[0]
    asker = await people.hire(pool, keys, merchant_id, "owner")
    others = [await people.hire(pool, keys, merchant_id, role) for role in ("owner", "checker")]
    key = await api_keys.create(pool, merchant_id, "own", "merchant", None)
    admin = await asyncpg.connect(postgres.owner_dsn)
    async with admin.transaction():
        await admin.execute("select set_config('kafang.merchant_id', $1, true)", merchant_id)
        await admin.execute(
            "update api_key set created_by = $2 where api_key_id = $1",
            key.api_key_id,
            asker.user_id,
        )
    tokens = [asker.token, key.token]
    for person in (asker, *others, *others):
        again = await people.sign_in(pool, merchant_id, person.user_id, second_factor=True)
        tokens.append(again.token)
    clients = [Client(server.host, server.port, token) for token in tokens]
    async with client_of(tenant.merchant_key) as office:
        card = await tenants.make_card(office, tenant, 10_000_000, f"raced-{os.urandom(4).hex()}")
    try:
        cast = Cast(tenant, pool, keys, admin, clients[:3], clients[3:], card)
        sold = await _sold(cast, store_id)
        cast.day = (await clients[0].get(f"/v1/receipts/{sold['id']}")).json()["business_date"]
        yield cast
    finally:
        for client in clients:
            client.drop()
        await admin.close()
        await pool.close()


def _name() -> str:
    return f"race-{os.urandom(8).hex()}"


async def _sold(cast: Cast, store_id: str, key: str | None = None) -> dict[str, Any]:
    body = {
        "request_no": _name(),
        "amount": {"value": 100, "currency": "CNY"},
        "sources": [{"card_number": cast.card.number}],
        "store_id": store_id,
    }
    answer = await cast.asking[0].post("/v1/redemptions", body, key or _name())
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json()
    return found


Wanted = tuple[str, dict[str, Any], str]


async def _wanted(cast: Cast, kind: str) -> Wanted:
    """One more request of a kind: path, body and idempotency key."""
    store_id = cast.tenant.store_ids[0]
    if kind == "refund":
        return f"/v1/redemptions/{(await _sold(cast, store_id))['id']}/refunds", {}, _name()
    if kind == "void":
        return f"/v1/redemptions/{(await _sold(cast, store_id))['id']}/void", {}, _name()
    if kind == "reversal":
        key = _name()
        await _sold(cast, store_id, key)
        return "/v1/reversals", {"idempotency_key": key}, _name()
    if kind == "template.publish":
        return "/v1/card-templates", {**TEMPLATE, "name": _name()}, ""
    if kind == "api_key.create":
        return "/v1/api-keys", {"name": "raced", "scopes": ["cards:read"]}, ""
    if kind == "role.grant":
        somebody = await people.hire(cast.pool, cast.keys, cast.tenant.merchant_id, "checker")
        body = {"role": "auditor", "node_id": cast.tenant.merchant_id}
        return f"/v1/users/{somebody.user_id}/roles", body, ""
    if kind == "authority.change":
        now = (await cast.asking[0].get("/v1/authority")).json()
        return "/v1/authority", now, ""
    path = f"/v1/stores/{store_id}/days/{cast.day}"
    shown = (await cast.asking[0].get(path)).json()
    if shown["status"] == "open":
        body = {"change_no": shown["change_no"]}
        shown = (await cast.asking[0].post(f"{path}/close", body)).json()
    return f"{path}/reopen", {"change_no": shown["change_no"], "reason": "raced"}, ""


async def _send(client: Client, wanted: Wanted) -> Response:
    path, body, key = wanted
    return await client.post(path, body, key or None)


async def _race(cast: Cast, wanted: Wanted, yes: float) -> None:
    """Everybody at once: whoever asked sends, and says yes; the others say yes, or perhaps no."""
    first = await _send(cast.asking[0], wanted)
    assert first.json()["code"] == "approval_required", first.body
    approval_id = first.json()["reasons"][0]["existing_id"]
    seen = await cast.deciding[0].get(f"/v1/approvals/{approval_id}")
    body = {"digest": seen.json()["digest"]}
    path = f"/v1/approvals/{approval_id}"

    async def decide(client: Client) -> Response:
        verdict = "approve" if random.random() < yes else "reject"
        return await client.post(f"{path}/{verdict}", body)

    async def ask(client: Client) -> list[Response]:
        return [await _send(client, wanted) for _ in range(TURNS)]

    async def own(client: Client) -> Response:
        return await client.post(f"{path}/approve", body)

    async def both(client: Client) -> None:
        answers = [*await ask(client), await own(client)]
        assert {answer.status for answer in answers} <= {200, 201, 403, 409}, answers

    decided, _ = await asyncio.gather(
        asyncio.gather(*(decide(client) for client in cast.deciding)),
        asyncio.gather(*(both(client) for client in cast.asking)),
    )
    assert {answer.status for answer in decided} <= {200, 409}, decided
    for client in cast.asking:
        await _send(client, wanted)


@pytest.mark.parametrize("kind", KINDS)
async def test_T10_nothing_is_done_that_others_did_not_agree_to(cast: Cast, kind: str) -> None:
    """As often as it was done, an approval was used up, and two others had agreed to it."""
    rules = [{"kind": kind, "roles": ["owner", "checker"], "approvers": 2}]
    body = {"version": 0, "rules": rules}
    assert (await cast.asking[0].post("/v1/authority", body)).status == 201
    before = await cast.count(EFFECTS[kind])
    for number in range(ROUNDS):
        await _race(cast, await _wanted(cast, kind), PERHAPS if number % 2 else 1.0)
    used = "select count(*) from approval where status = 'used'"
    done = await cast.count(EFFECTS[kind]) - before
    assert await cast.count(f"select count(*) from ({ILLEGAL}) illegal") == 0
    assert await cast.count(used) == done
    refused = await cast.count("select count(*) from approval where status = 'rejected'")
    print(f"{kind}: {ROUNDS} races, done {done} times, rejected {refused} times")
    assert done >= ROUNDS / 2


async def test_T10_a_limit_of_the_day_holds_at_once(cast: Cast, client_of: ClientOf) -> None:
    """Refunds of one employee from all sides: together no more than the limit."""
    limit, store_id = 3, cast.tenant.store_ids[0]
    rule = {"kind": "refund", "roles": ["owner"], "day_count_above": limit}
    assert (
        await cast.asking[0].post("/v1/authority", {"version": 0, "rules": [rule]})
    ).status == 201
    session = cast.asking[0]
    tills = [client_of(cast.tenant.pos_keys[0]) for _ in range(8)]
    for number in range(ROUNDS):
        sold = (await _sold(cast, store_id))["id"]
        body = {
            "amount": {"value": 1, "currency": "CNY"},
            "till": {"operator": f"{number:04}"},
        }
        answers = await asyncio.gather(
            *(till.post(f"/v1/redemptions/{sold}/refunds", body, _name()) for till in tills)
        )
        passed = [answer for answer in answers if answer.status == 201]
        assert len(passed) == limit, [answer.body for answer in answers]
    assert (await session.get("/v1/approvals?status=open")).json()["data"]
    for till in tills:
        till.drop()
