"""What is stopped is stopped: nothing sent after the acknowledgement is accepted, on any worker.

THREAT-T15.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.api_keys import operations as api_keys
from service.kernel import database, embedded
from tests.concurrency import shares
from tests.concurrency.crowd import Request, codes, crowd_of, make_cards, redeem
from tests.harness import people
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant, TestCard

ROUNDS = 50
PEOPLE_ROUNDS = 12
STREAMS = 24
LATE = 2
WARM = 3 * STREAMS

Ask = Callable[[int], Awaitable[Response]]


class Stop:
    """A moment that streams wait for: first some answers, then the acknowledgement."""

    def __init__(self) -> None:
        self.answers: list[tuple[float, Response]] = []
        self.warm = asyncio.Event()
        self.acknowledged_at = float("inf")

    async def around(self, asks: list[Ask], act: Awaitable[None]) -> None:
        """Let every stream run, do what stops them, and wait until each has noticed."""
        streams = [asyncio.create_task(self._stream(ask)) for ask in asks]
        await self.warm.wait()
        await act
        self.acknowledged_at = time.perf_counter()
        await asyncio.gather(*streams)

    async def _stream(self, ask: Ask) -> None:
        """Ask without pause until some requests were sent after the acknowledgement."""
        number, late = 0, 0
        while late < LATE:
            sent_at = time.perf_counter()
            self.answers.append((sent_at, await ask(number)))
            number += 1
            late += sent_at > self.acknowledged_at
            if len(self.answers) >= WARM:
                self.warm.set()

    def before_and_after(self) -> tuple[list[Response], list[Response]]:
        """Answers to what was sent before, and after, the acknowledgement."""
        before = [answer for sent_at, answer in self.answers if sent_at <= self.acknowledged_at]
        after = [answer for sent_at, answer in self.answers if sent_at > self.acknowledged_at]
        assert len(after) >= LATE * STREAMS
        return before, after


async def test_nothing_sent_after_a_freeze_is_accepted(server: Server, tenant: Tenant) -> None:
    """Promise: once a freeze is acknowledged, every redemption sent afterwards is refused."""
    async with crowd_of(server, tenant.merchant_key, STREAMS + 1) as crowd:
        (card,) = await make_cards(crowd, tenant, 1, 50_000_000, "frozen")
        *tills, office = crowd.clients

        async def act(move: str, number: int) -> None:
            path = f"/v1/cards/{card.card_id}/{move}"
            answer = await crowd.post(office, Request(path, {}, f"{move}-now-{number}"))
            assert answer.status == 200, answer.body

        def selling(till: Client, name: str) -> Ask:
            def ask(n: int) -> Awaitable[Response]:
                sale = redeem(card, 1, f"{name}-{n}", store_id=tenant.store_ids[0])
                return crowd.post(till, sale)

            return ask

        for number in range(ROUNDS):
            stop = Stop()
            asks = [selling(till, f"freeze-{number}-{n}") for n, till in enumerate(tills)]
            await stop.around(asks, act("freeze", number))
            before, after = stop.before_and_after()
            assert {answer.status for answer in before} <= {201, 409}
            assert any(answer.status == 201 for answer in before)
            refusals = {(answer.status, *codes(answer)) for answer in after}
            assert refusals == {(409, "redemption_refused", "card_frozen")}
            await act("unfreeze", number)


async def test_nothing_sent_after_a_store_is_switched_off_is_accepted(
    server: Server, tenant: Tenant
) -> None:
    """Promise: once it is acknowledged that a store takes no cards, it takes none. S3-16."""
    owner, store_id = await people.owner_of(server, tenant.merchant_id), tenant.store_ids[0]
    boss = Client(server.host, server.port, owner.token)
    async with boss, crowd_of(server, tenant.merchant_key, STREAMS + 1) as crowd:
        (card,) = await make_cards(crowd, tenant, 1, 50_000_000, "switched")

        async def say(version: int, *, value: bool) -> None:
            body = {"version": version, "rules": {"redemptions": {"value": value}}}
            answer = await boss.post(f"/v1/policies/{store_id}", body)
            assert answer.status == 201, answer.body

        for number in range(PEOPLE_ROUNDS):
            stop = Stop()
            asks = [
                _selling(till, card, f"switched-{number}-{n}", store_id)
                for n, till in enumerate(crowd.clients[:STREAMS])
            ]
            await stop.around(asks, say(2 * number, value=False))
            before, after = stop.before_and_after()
            assert {answer.status for answer in before} <= {201, 409}
            assert any(answer.status == 201 for answer in before)
            assert {(answer.status, *codes(answer)) for answer in after} == {
                (409, "redemption_refused", "store_switched_off")
            }
            await say(2 * number + 1, value=True)


async def test_T15_nothing_sent_after_a_key_is_revoked_passes(
    server: Server, tenant: Tenant, postgres: embedded.Server, office: Client
) -> None:
    """Promise: once a key's end is acknowledged, nothing sent with it passes, read or write."""
    before_all, requests = await shares.all_serving(server), 0
    card = await tenants.make_card(office, tenant, 50_000_000, "revoked")
    pool = await database.open_pool(postgres.app_dsn, 1)
    try:
        for number in range(ROUNDS):
            key = await api_keys.create(
                pool, tenant.merchant_id, f"till {number}", "pos", tenant.store_ids[0]
            )
            tills = [Client(server.host, server.port, key.token) for _ in range(STREAMS)]

            async def revoke(api_key_id: str = key.api_key_id) -> None:
                assert await api_keys.revoke(pool, tenant.merchant_id, api_key_id)

            stop = Stop()
            asks = [
                looking(till, card)
                if n % 3 == 0
                else _selling(till, card, f"revoke-{number}-{n}", tenant.store_ids[0])
                for n, till in enumerate(tills)
            ]
            await stop.around(asks, revoke())
            for till in tills:
                till.drop()
            before, after = stop.before_and_after()
            assert {answer.status for answer in before} <= {200, 201, 401}
            assert {200, 201} <= {answer.status for answer in before}
            assert {(answer.status, *codes(answer)) for answer in after} == {
                (401, "unauthenticated")
            }
            requests += len(stop.answers)
    finally:
        await pool.close()
    print(requests, "requests", await shares.require_shared(server, before_all, requests))


@pytest.mark.parametrize("how", ["signed-out", "disabled", "demoted", "elsewhere"])
async def test_T15_nothing_sent_after_somebody_is_stopped_passes(
    server: Server, tenant: Tenant, postgres: embedded.Server, office: Client, how: str
) -> None:
    """Promise: once it is acknowledged that somebody may no more, nothing they send passes."""
    card = await tenants.make_card(office, tenant, 50_000_000, "stopped")
    here, there = tenant.store_ids
    pool, keys = await database.open_pool(postgres.app_dsn, 1), people.keys_of(server.data_dir)
    owner = await people.hire(pool, keys, tenant.merchant_id, "owner")
    boss = Client(server.host, server.port, owner.token)
    try:
        for number in range(PEOPLE_ROUNDS):
            person = await people.hire(pool, keys, tenant.merchant_id, "cashier", here)
            user = f"/v1/users/{person.user_id}"
            [grant] = (await boss.get(user)).json()["roles"]
            own = Client(server.host, server.port, person.token)
            sale = await shop_sale(own, card, f"{how}-{number}-seen", here)
            if how == "elsewhere":
                await done(boss, f"{user}/roles", {"role": "cashier", "node_id": there})
            acts = {
                "signed-out": (own, "/v1/me/sign-out", {}),
                "disabled": (boss, f"{user}/disable", {"version": 2}),
                "demoted": (boss, f"{user}/roles/{grant['id']}/revoke", {}),
                "elsewhere": (boss, f"{user}/roles/{grant['id']}/revoke", {}),
            }
            tills = [Client(server.host, server.port, person.token) for _ in range(STREAMS)]
            asks = [
                _looking_at(till, sale)
                if n % 3 == 0
                else _selling(till, card, f"{how}-{number}-{n}", here)
                for n, till in enumerate(tills)
            ]
            stop = Stop()
            await stop.around(asks, done(*acts[how]))
            for client in (*tills, own):
                client.drop()
            before, after = stop.before_and_after()
            assert {200, 201} <= {answer.status for answer in before} <= {200, 201, 401, 403}
            wanted = {
                "demoted": {(403, "forbidden", "permission_missing")},
                "elsewhere": {(403, "store_not_allowed")},
            }.get(how, {(401, "unauthenticated")})
            assert {(answer.status, *codes(answer)) for answer in after} == wanted
    finally:
        boss.drop()
        await pool.close()


async def shop_sale(till: Client, card: TestCard, name: str, store_id: str) -> str:
    """The id of a sale."""
    sale = redeem(card, 1, name, store_id=store_id)
    return str((await till.post(sale.path, sale.body, sale.key)).json()["id"])


async def done(client: Client, path: str, body: dict[str, Any]) -> None:
    """Do it."""
    answer = await client.post(path, body)
    assert answer.status in (200, 201), answer.body


def looking(till: Client, card: TestCard) -> Ask:
    """Look at a card, again and again."""
    return lambda _: till.get(f"/v1/cards/{card.card_id}")


def _looking_at(till: Client, sale: str) -> Ask:
    return lambda _: till.get(f"/v1/redemptions/{sale}")


def _selling(till: Client, card: TestCard, name: str, store_id: str) -> Ask:
    def ask(n: int) -> Awaitable[Response]:
        sale = redeem(card, 1, f"{name}-{n}", store_id=store_id)
        return till.post(sale.path, sale.body, sale.key)

    return ask
