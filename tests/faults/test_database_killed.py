"""The database is killed under load: right answers, or unknown and then the truth. THREAT-T4."""

import asyncio
import os
import signal
from collections import Counter
from functools import partial

from service.kernel import embedded
from service.ledger import invariants
from tests.concurrency import history, journal
from tests.concurrency.crowd import Crowd, Request, make_cards, redeem
from tests.concurrency.journal import Journal
from tests.faults import backends
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant, TestCard

KILLS = 3
CLIENTS = 32
CARDS = 8
PAID = 29_000
# Answers between two kills, so that each strikes a service at work.
BETWEEN = 400
AGAIN_S = 60.0


class Till:
    """A client that keeps its key until it knows."""

    def __init__(self, client: Client, book: Journal) -> None:
        self.client = client
        self.book = book
        self.asking = False
        self.told: Counter[tuple[int, str]] = Counter()

    async def settle(self, operation: str, request: Request, card: TestCard, amount: int) -> None:
        """Send, and send again with the same key until the answer is definite."""
        deadline = asyncio.get_running_loop().time() + AGAIN_S
        while True:
            self.asking = True
            answer = await self.book.post(self.client, operation, request, card.card_id, amount)
            self.asking = False
            assert answer is not None, "the service itself never goes away"
            if answer.status != 503:
                assert answer.status in (201, 409), answer.body
                return
            self.told[answer.status, _outcome(answer)] += 1
            assert int(answer.headers["retry-after"]) >= 1
            assert asyncio.get_running_loop().time() < deadline, "never came back"
            await asyncio.sleep(0.05)  # polling with a deadline


async def test_a_killed_database_ends_in_the_truth(own_server: Server) -> None:
    """Promise: each answer is right, or unknown with Retry-After, and the same key then tells."""
    postgres = own_server.postgres
    tenant = await tenants.make(
        postgres.app_dsn, lambda token: Client(own_server.host, own_server.port, token)
    )
    clients = [
        Client(own_server.host, own_server.port, tenant.merchant_key) for _ in range(CLIENTS)
    ]
    cards = await make_cards(Crowd(clients), tenant, CARDS, PAID, "killed")
    book = Journal()
    tills = [Till(client, book) for client in clients]
    done, in_flight = asyncio.Event(), []
    working = [
        asyncio.create_task(_work(till, number, cards, tenant, done))
        for number, till in enumerate(tills)
    ]
    try:
        for _ in range(KILLS):
            answered = len(book.events)
            await backends.until(partial(_grown, book, answered), "more answers")
            pid = postgres.postmaster_pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            in_flight.append(sum(till.asking for till in tills))
            await backends.until(partial(_restarted, postgres, pid), "a new start")
        answered = len(book.events)
        await backends.until(partial(_grown, book, answered), "answers after the last kill")
    finally:
        done.set()
        await asyncio.gather(*working)
        for client in clients:
            client.drop()
    seen = await journal.history_of(
        book.events, postgres.owner_dsn, own_server.data_dir, tenant.merchant_id
    )
    found = history.check(seen, journal.declared_answers())
    assert not found, found[:20]
    report = await invariants.verify(postgres.owner_dsn, [tenant.merchant_id])
    assert not report.breaches, report.text()
    told = sum((till.told for till in tills), Counter())
    print(len(book.events), "answers,", dict(told), f"slowest {book.slowest_s():.2f} s", in_flight)
    # Who waited for an answer; a database that is back soon enough leaves nobody without one.
    assert min(in_flight) >= CLIENTS // 2, in_flight


async def _work(
    till: Till, number: int, cards: list[TestCard], tenant: Tenant, done: asyncio.Event
) -> None:
    count = 0
    while not done.is_set():
        count += 1
        key = f"killed-{number:02d}-{count:05d}"
        card = cards[(number + count) % CARDS]
        if count % 4:
            sale = redeem(card, 100, key, store_id=tenant.store_ids[0])
            await till.settle("create_redemption", sale, card, 100)
        else:
            body = {
                "amount": {"value": 300, "currency": "CNY"},
                "tender": "cash",
                "store_id": tenant.store_ids[0],
            }
            top_up = Request(f"/v1/cards/{card.card_id}/top-ups", body, key)
            await till.settle("create_top_up", top_up, card, 300)


def _outcome(answer: Response) -> str:
    outcome: str = answer.json()["outcome"]
    return outcome


async def _grown(book: Journal, before: int) -> bool:
    return len(book.events) >= before + BETWEEN


async def _restarted(postgres: embedded.Server, old: int) -> bool:
    return postgres.postmaster_pid not in (None, old)
