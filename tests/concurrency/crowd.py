"""A crowd: many clients, each with a connection of its own, released together."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

from tests.concurrency import shares
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant, TestCard

SIZE = 64
CHUNK = 16
# What the template's ladder adds to a card made with at least this much: two lots, two accounts.
BONUS_FROM, BONUS = 30_000, 5_000


class Request(Struct, frozen=True):
    """A POST of JSON; `key` is its idempotency key."""

    path: str
    body: Any
    key: str


class Crowd:
    """Connected clients, how much they asked and how long the slowest answer took."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self.requests = 0
        self.slowest_s = 0.0

    async def post(self, client: Client, request: Request) -> Response:
        """One request of one client, counted."""
        started = time.perf_counter()
        answer = await client.post(request.path, request.body, request.key)
        self.count(time.perf_counter() - started)
        return answer

    async def get(self, client: Client, path: str) -> Response:
        """One look of one client, counted."""
        started = time.perf_counter()
        answer = await client.get(path)
        self.count(time.perf_counter() - started)
        return answer

    def count(self, seconds: float) -> None:
        """One answered request."""
        self.requests += 1
        self.slowest_s = max(self.slowest_s, seconds)

    async def release(self, requests: Sequence[Request]) -> list[Response]:
        """All requests at once: every byte is written before any answer is read."""
        pairs = zip(self.clients, requests, strict=True)
        return await asyncio.gather(*(self.post(client, request) for client, request in pairs))


@asynccontextmanager
async def crowd_of(server: Server, token: str, size: int = SIZE) -> AsyncIterator[Crowd]:
    """Connected clients; when the block ends well, each worker must have answered its share."""
    clients = [Client(server.host, server.port, token) for _ in range(size)]
    crowd = Crowd(clients)
    before = await shares.all_serving(server)
    try:
        await shares.spread(server, clients)
        yield crowd
        found = await shares.require_shared(server, before, crowd.requests)
    finally:
        for client in clients:
            client.drop()
    parts = " / ".join(f"{share:.0%}" for share in found.values())
    print(f"{crowd.requests} requests, by worker {parts}, slowest {crowd.slowest_s:.3f} s")


async def make_cards(
    crowd: Crowd, tenant: Tenant, count: int, amount_minor: int, name: str
) -> list[TestCard]:
    """Fresh cards, made side by side; the crowd must carry the merchant's key."""

    async def some(client: Client, numbers: range) -> list[TestCard]:
        return [
            await tenants.make_card(client, tenant, amount_minor, f"{name}-{number}")
            for number in numbers
        ]

    makers = crowd.clients[:CHUNK]
    parts = [range(first, count, len(makers)) for first in range(len(makers))]
    made = await asyncio.gather(
        *(some(client, part) for client, part in zip(makers, parts, strict=True))
    )
    return [card for part in made for card in part]


def worth(amount_minor: int) -> int:
    """What a card made with this amount holds."""
    return amount_minor + (BONUS if amount_minor >= BONUS_FROM else 0)


def redeem(
    card: TestCard, amount_minor: int, key: str, *, store_id: str, request_no: str | None = None
) -> Request:
    """A redemption by card number; the request number is the key unless given."""
    body = {
        "request_no": request_no or key,
        "amount": {"value": amount_minor, "currency": "CNY"},
        "sources": [{"card_number": card.number}],
        "store_id": store_id,
    }
    return Request("/v1/redemptions", body, key)


def reverse(target_key: str, key: str) -> Request:
    """A reversal of whatever `target_key` did."""
    return Request("/v1/reversals", {"idempotency_key": target_key}, key)


def codes(answer: Response) -> list[str]:
    """A problem's code and the codes of its reasons."""
    problem = answer.json()
    return [problem["code"], *(reason["code"] for reason in problem["reasons"])]


def replayed(answer: Response) -> bool:
    """Whether the answer says that it was given before."""
    return answer.headers.get("idempotent-replayed") == "true"


async def look(client: Client, card: TestCard) -> Any:
    """The card as it is now."""
    answer = await client.get(f"/v1/cards/{card.card_id}")
    assert answer.status == 200, answer.body
    return answer.json()
