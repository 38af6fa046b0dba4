"""Visits that begin and end from both sides at once: nobody waits in a circle, both sides agree."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from service.kernel import database, embedded
from tests.concurrency.test_stop_at_once import PEOPLE_ROUNDS, STREAMS, Stop, done, looking
from tests.harness import people, platform
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant

VISITORS, TURNS = 6, 12


@asynccontextmanager
async def as_person(server: Server, person: people.Person) -> AsyncIterator[Client]:
    """A line of somebody's."""
    async with Client(server.host, server.port, person.token) as line:
        yield line


@pytest.mark.parametrize("how", ["the merchant", "demoted", "signed out at home"])
async def test_T15_nothing_sent_after_a_visit_has_ended_passes(
    server: Server, tenant: Tenant, postgres: embedded.Server, office: Client, how: str
) -> None:
    """Promise: once it is acknowledged that a visit is over, nothing the visitor sends passes."""
    card = await tenants.make_card(office, tenant, 50_000_000, "visited")
    pool, keys = await database.open_pool(postgres.app_dsn, 1), people.keys_of(server.data_dir)
    platform_id = await platform.tenant_of(pool)
    owner = await people.hire(pool, keys, tenant.merchant_id, "owner")
    admin = await people.hire(pool, keys, platform_id, "platform_admin")
    line_of = partial(Client, server.host, server.port)
    async with as_person(server, owner) as boss, as_person(server, admin) as chief:
        for _ in range(PEOPLE_ROUNDS):
            visitor = await people.hire(pool, keys, platform_id, "platform_support")
            visit_id, there = await platform.visit(
                line_of, visitor, tenant.merchant_id, "visiting_support"
            )
            user = f"/v1/users/{visitor.user_id}"
            [grant] = (await chief.get(user)).json()["roles"]
            lines = [line_of(there.token) for _ in range(STREAMS)]

            async with as_person(server, visitor) as own:
                acts = {
                    "the merchant": (boss, f"/v1/visits/{visit_id}/end"),
                    "demoted": (chief, f"{user}/roles/{grant['id']}/revoke"),
                    "signed out at home": (own, "/v1/me/sign-out"),
                }
                stop = Stop()
                asks = [looking(line, card) for line in lines]
                await stop.around(asks, done(*acts[how], {}))
            for line in lines:
                line.drop()
            before, after = stop.before_and_after()
            assert {200} <= {answer.status for answer in before} <= {200, 401}
            assert {answer.status for answer in after} == {401}
    await pool.close()


async def test_both_sides_begin_and_end_at_once(
    server: Server, tenant: Tenant, postgres: embedded.Server
) -> None:
    """Whoever takes all of somebody's visits takes several merchants' rows."""
    pool, keys = await database.open_pool(postgres.app_dsn, 1), people.keys_of(server.data_dir)
    platform_id = await platform.tenant_of(pool)
    line_of = partial(Client, server.host, server.port)
    second = await tenants.make(postgres.app_dsn, line_of)
    hosts = [tenant.merchant_id, second.merchant_id]
    owners = [await people.hire(pool, keys, host_id, "owner") for host_id in hosts]
    visitors = [
        await people.hire(pool, keys, platform_id, "platform_support") for _ in range(VISITORS)
    ]
    answers: Counter[tuple[str, int]] = Counter()

    def note(what: str, answer: Response) -> Response:
        answers[what, answer.status] += 1
        return answer

    async def visits(visitor: people.Person) -> None:
        person = visitor
        for _ in range(TURNS):
            async with as_person(server, person) as line:
                for host_id in hosts:
                    body = {"merchant_id": host_id, "role": "visiting_support"}
                    body["reason"] = platform.REASON
                    note("begin", await line.post("/v1/visits", body))
                note("sign out", await line.post("/v1/me/sign-out", {}))
            person = await people.sign_in(pool, platform_id, visitor.user_id, second_factor=True)

    async def ends(owner: people.Person) -> None:
        async with as_person(server, owner) as line:
            while not over.is_set():
                found = (await line.get("/v1/visits?limit=20")).json()["data"]
                for visit in found:
                    if visit["ended_at"] is None:
                        note("end", await line.post(f"/v1/visits/{visit['id']}/end", {}))
                await asyncio.sleep(0)

    over = asyncio.Event()
    ending = [asyncio.create_task(ends(owner)) for owner in owners]
    await asyncio.gather(*map(visits, visitors))
    over.set()
    await asyncio.gather(*ending)
    assert set(answers) == {("begin", 201), ("end", 200), ("sign out", 200)}, answers
    assert answers["begin", 201] == VISITORS * TURNS * len(hosts)
    ours: dict[str, str] = {}
    for host_id in (*hosts, platform_id):
        async with database.tenant(pool, host_id) as connection:
            rows = await connection.fetch(
                "select visit_id, ended_by from visit"
                " where merchant_id = $1 and host_id = any ($2)",
                host_id,
                hosts,
            )
        for row in rows:
            assert row["ended_by"] is not None
            assert ours.setdefault(row["visit_id"], row["ended_by"]) == row["ended_by"]
    assert len(ours) == VISITORS * TURNS * len(hosts)
    await pool.close()
