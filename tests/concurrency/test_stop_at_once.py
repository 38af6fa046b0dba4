"""What is stopped is stopped: nothing sent after the acknowledgement is accepted, on any worker.

THREAT-T15.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from service.api_keys import operations as api_keys
from service.kernel import database, embedded
from tests.concurrency import shares
from tests.concurrency.crowd import Request, codes, crowd_of, make_cards, redeem
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant, TestCard

ROUNDS = 50
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
                _looking(till, card)
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


def _looking(till: Client, card: TestCard) -> Ask:
    return lambda _: till.get(f"/v1/cards/{card.card_id}")


def _selling(till: Client, card: TestCard, name: str, store_id: str) -> Ask:
    def ask(n: int) -> Awaitable[Response]:
        sale = redeem(card, 1, f"{name}-{n}", store_id=store_id)
        return till.post(sale.path, sale.body, sale.key)

    return ask
