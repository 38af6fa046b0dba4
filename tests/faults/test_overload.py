"""More comes than can be done: some are served, the others told so in time, and nothing is lost.

THREAT-T26, THREAT-T30. `python -m tests.bench --only overload` does it at full size.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.concurrency.crowd import Request, redeem
from tests.concurrency.journal import tables_of
from tests.conftest import require_whole
from tests.harness import server as servers
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant, TestCard

CLIENTS, EACH = 128, 12
PAID = 20_000
# So few places, and so little time to wait for one, that so many clients are too many.
TIGHT = {"KAFANG_SERVED_MAX": "4", "KAFANG_WAIT_S": "0.05", "KAFANG_DEADLINE_S": "10"}
# A way to pay that is far longer than a redemption takes: only an answer in time is an answer.
TILL_S = 5.0


@pytest.fixture(scope="module")
def tight() -> Iterator[Server]:
    """A server with four places in each worker."""
    with servers.running(TIGHT) as running:
        yield running


@contextlib.asynccontextmanager
async def merchant_of(server: Server) -> AsyncIterator[tuple[Tenant, TestCard]]:
    """A fresh merchant with one card, whole in the end."""

    def client_of(token: str) -> Client:
        return Client(server.host, server.port, token)

    tenant = await tenants.make(server.postgres.app_dsn, client_of)
    async with client_of(tenant.merchant_key) as office:
        card = await tenants.make_card(office, tenant, PAID, "card")
    yield tenant, card
    await require_whole(server.postgres, tenant.merchant_id)


async def sell(server: Server, token: str, requests: list[Request]) -> list[Response]:
    """One till, one sale after the other."""
    async with Client(server.host, server.port, token, TILL_S) as till:
        return [await till.post(each.path, each.body, each.key) for each in requests]


def sales(tenant: Tenant, card: TestCard, name: str, count: int) -> list[Request]:
    store_id = tenant.store_ids[0]
    return [redeem(card, 1, f"{name}-{number:04}", store_id=store_id) for number in range(count)]


async def test_T26_an_overload_loses_nothing_and_invents_nothing(tight: Server) -> None:
    """Promise: served, or told in time that nothing happened; the same key then does it once."""
    async with merchant_of(tight) as (tenant, card):
        wanted = [sales(tenant, card, f"flood-{number:03}", EACH) for number in range(CLIENTS)]
        answers = await asyncio.gather(*(sell(tight, tenant.merchant_key, part) for part in wanted))
        told = {
            request.key: answer
            for part, each in zip(wanted, answers, strict=True)
            for request, answer in zip(part, each, strict=True)
        }
        served = {key for key, answer in told.items() if answer.status == 201}
        refused = [answer for key, answer in told.items() if key not in served]
        assert served
        assert refused
        assert {(a.status, a.json()["code"], a.json()["outcome"]) for a in refused} == {
            (503, "overloaded", "not_applied")
        }
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert await applied(tight, tenant, told) == served
        again = [request for part in wanted for request in part if request.key not in served]
        late = await sell(tight, tenant.merchant_key, again)
        assert Counter(answer.status for answer in late) == {201: len(refused)}
        assert not [a for a in late if a.headers.get("idempotent-replayed")]
        assert await applied(tight, tenant, told) == set(told)
        print(f"{len(told)} sales at once: {len(served)} served, {len(refused)} turned away")


async def applied(server: Server, tenant: Tenant, keys: dict[str, Response]) -> set[str]:
    """Which of these keys the ledger knows."""
    dsn = server.postgres.owner_dsn
    _, facts, _ = await tables_of(list(keys), dsn, server.data_dir, tenant.merchant_id)
    return set(facts)


async def test_T30_a_merchant_with_far_too_much_leaves_room_for_another(tight: Server) -> None:
    """Promise: whoever asks for little is never turned away, however much another one asks for."""
    async with merchant_of(tight) as (greedy, card), merchant_of(tight) as (modest, its_card):
        flood = asyncio.gather(
            *(
                sell(tight, greedy.merchant_key, sales(greedy, card, f"greedy-{number:03}", EACH))
                for number in range(CLIENTS)
            )
        )
        served = watched = 0
        while not flood.done():
            (answer,) = await sell(
                tight, modest.merchant_key, sales(modest, its_card, f"modest-{served:03}", 1)
            )
            assert answer.status == 201, answer.body
            served += 1
            async with Client(tight.host, tight.port) as probe:
                assert (await probe.get("/health/live")).status == 200
            watched += 1
        turned_away = sum(answer.status == 503 for part in await flood for answer in part)
        assert turned_away
        assert served
        print(f"{turned_away} turned away of one, {served} of {served} served of the other")


async def test_T30_a_merchant_of_a_shared_service_keeps_to_its_limit() -> None:
    """Promise: what is beyond it waits, and is then refused; another merchant has its own."""
    with servers.running(TIGHT | {"KAFANG_SERVED_MAX": "64", "KAFANG_TENANT_PER_S": "3"}) as shared:
        async with merchant_of(shared) as (busy, card), merchant_of(shared) as (other, its_card):
            told = await sell(shared, busy.merchant_key, sales(busy, card, "busy", 40))
            assert {answer.status for answer in told} == {201, 503}
            (served,) = await sell(shared, other.merchant_key, sales(other, its_card, "one", 1))
            assert served.status == 201, served.body
