"""Clients that vanish: nobody else notices, nothing leaks, and the key tells what happened.

THREAT-T4.
"""

import asyncio
import json
import random
from collections import Counter

from service.kernel import embedded
from service.kernel.database import Connection
from service.settings import Settings
from tests.concurrency import shares
from tests.concurrency.crowd import Crowd, Request, crowd_of, make_cards, redeem, replayed
from tests.concurrency.journal import tables_of
from tests.faults import backends
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant, TestCard

CLIENTS = 64
EACH = 160
CARDS = 32
PAID = 29_000
# Where a client vanishes, and how often: connected but silent, anywhere inside the request, right
# after it; or it stays and reads its answer.
CUTS = {"silent": 5, "inside": 20, "after": 30, "stays": 45}


class Leaver:
    """A client that sends redemptions and vanishes at chosen moments."""

    def __init__(self, crowd: Crowd, client: Client, seed: int) -> None:
        self.crowd = crowd
        self.client = client
        self.chance = random.Random(seed)
        self.sent: list[tuple[Request, str]] = []
        self.answers: list[Response] = []

    async def ask(self, request: Request) -> None:
        """One request, perhaps cut off."""
        cut = self.chance.choices(list(CUTS), list(CUTS.values()))[0]
        self.sent.append((request, cut))
        if cut == "stays":
            self.answers.append(await self.crowd.post(self.client, request))
            return
        headers = {"Content-Type": "application/json", "Idempotency-Key": request.key}
        body = json.dumps(request.body).encode()
        data = self.client.encode("POST", request.path, body, headers)
        if cut == "silent":
            data = b""
        elif cut == "inside":
            data = data[: self.chance.randrange(1, len(data))]
        await self.client.send_bytes(data)
        self.client.drop()


async def test_T4_ten_thousand_requests_of_clients_that_vanish(
    server: Server, tenant: Tenant, postgres: embedded.Server
) -> None:
    """Promise: none stuck, no connection leaked, no 500; what was applied is fetched by its key."""
    admin = await backends.connect(postgres.admin_dsn)
    try:
        async with crowd_of(server, tenant.merchant_key, CLIENTS) as crowd:
            cards = await make_cards(crowd, tenant, CARDS, PAID, "leave")
            leavers = [Leaver(crowd, client, seed) for seed, client in enumerate(crowd.clients)]
            asking = (_ask_all(leaver, cards, tenant.store_ids[0]) for leaver in leavers)
            await asyncio.gather(*asking)
            for client in crowd.clients:
                client.drop()
            await backends.until(lambda: _all_idle(admin), "database connections idle")
            await backends.until(lambda: _none_held(server), "sockets closed")
            # A lane has one; its successor may be ready and wait for the lane's next batch.
            writers = await backends.pids(admin, "kafang-writer")
            assert len(writers) <= 2 * shares.WORKERS * Settings().lanes
            readers = await backends.pids(admin, "kafang-reader")
            assert len(readers) <= shares.WORKERS * Settings().reader_connections
            answers = [answer for leaver in leavers for answer in leaver.answers]
            assert {answer.status for answer in answers} == {201}
            sent = [pair for leaver in leavers for pair in leaver.sent]
            keys = [request.key for request, _ in sent]
            _, facts, _ = await tables_of(
                keys, postgres.owner_dsn, server.data_dir, tenant.merchant_id
            )
            await _fetch_all(crowd, sent, set(facts))
            totals = [await _total(crowd.clients[0], card) for card in cards]
            assert sum(totals) == CARDS * PAID - len(sent)
    finally:
        await admin.close()
    applied = Counter((cut, request.key in facts) for request, cut in sent)
    print(len(sent), "requests; (cut, applied):", dict(sorted(applied.items())))
    assert len(sent) >= 10_000
    assert not applied["silent", True]
    assert not applied["inside", True]
    assert not applied["stays", False]


async def _ask_all(leaver: Leaver, cards: list[TestCard], store_id: str) -> None:
    for number in range(EACH):
        card = leaver.chance.choice(cards)
        key = f"leave-{id(leaver):x}-{number}"
        await leaver.ask(redeem(card, 1, key, store_id=store_id))


async def _fetch_all(crowd: Crowd, sent: list[tuple[Request, str]], applied: set[str]) -> None:
    """Every key answers; it is a replay exactly when it had been applied."""

    async def some(client: Client, part: list[tuple[Request, str]]) -> None:
        for request, cut in part:
            answer = await crowd.post(client, request)
            assert answer.status == 201, (cut, answer.body)
            assert replayed(answer) == (request.key in applied), cut

    parts = [sent[first :: len(crowd.clients)] for first in range(len(crowd.clients))]
    await asyncio.gather(*(some(*pair) for pair in zip(crowd.clients, parts, strict=True)))


async def _total(client: Client, card: TestCard) -> int:
    answer = await client.get(f"/v1/cards/{card.card_id}")
    total: int = answer.json()["balances"]["total"]
    return total


async def _all_idle(admin: Connection) -> bool:
    """No statement runs and no transaction is open."""
    return {state for _, state in await backends.states(admin)} == {"idle"}


async def _none_held(server: Server) -> bool:
    return not shares.owners_of_connections(server)
