"""What clients saw and what the database says of it: the two sides that `history` compares."""

import json
import time
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import Struct

from service.app import declared
from service.kernel.routes import errors_of
from service.kernel.sql import SQL
from service.ledger import door
from tests.concurrency.crowd import Request
from tests.harness.client import Client, Response

_LEGS = """
select g.card_id, g.version, g.operation_id, o.kind, g.status, g.principal_delta, g.bonus_delta,
  g.principal, g.bonus
from leg g
join operation o on o.merchant_id = g.merchant_id and o.operation_id = g.operation_id
where g.merchant_id = $1 order by g.card_id, g.version
"""
_KEYS = """
select k.key_hash, k.outcome, k.operation_id, k.answer, o.card_id, o.target_id, o.amount,
  o.decided_version
from idempotency_key k
left join operation o on o.merchant_id = k.merchant_id and o.operation_id = k.operation_id
where k.merchant_id = $1
"""


class Event(Struct, frozen=True, dict=True):
    """One request of a client and its answer; status 0: the line was lost. Times in seconds."""

    operation: str
    key: str
    card_id: str
    amount: int
    invoked_at: float
    returned_at: float
    status: int
    body: bytes
    replayed: bool

    @cached_property
    def answer(self) -> Any:
        """The body as Python values; empty when there is none."""
        return json.loads(self.body) if self.body else {}

    @property
    def outcome(self) -> str:
        """ok, no (never under this key), not_now (nothing yet) or unknown."""
        if 200 <= self.status < 300:
            return "ok"
        if self.status == 0 or self.answer["outcome"] == "unknown":
            return "unknown"
        return "not_now" if self.answer["retry"] == "same_key" else "no"


class Leg(Struct, frozen=True):
    """What an operation did to a card, from the tables."""

    card_id: str
    version: int
    operation_id: str
    kind: str
    status: str
    principal_delta: int
    bonus_delta: int
    principal: int
    bonus: int


class Fact(Struct, frozen=True):
    """What the tables say of a key, and of the operation it led to."""

    outcome: str
    operation_id: str | None
    answer: bytes | None
    card_id: str | None
    target_id: str | None
    amount: int | None
    decided_version: int | None


class History(Struct):
    """Both sides: the journals of all clients, and the tables after them."""

    events: list[Event]
    legs: list[Leg]
    facts: dict[str, Fact]
    # Operation ids of keys that no journal has.
    foreign: set[str]


class Journal:
    """The clients' side, in the order of returns."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def post(
        self, client: Client, operation: str, request: Request, card_id: str, amount: int = 0
    ) -> Response | None:
        """Send under a key and write down what came of it; None when the line was lost."""
        invoked_at = time.perf_counter()
        try:
            answer = await client.post(request.path, request.body, request.key)
        except (OSError, EOFError, TimeoutError):
            answer = None
        self._write(operation, request.key, card_id, amount, invoked_at, answer)
        return answer

    async def look(self, client: Client, card_id: str) -> None:
        """Read a card."""
        invoked_at = time.perf_counter()
        answer = await client.get(f"/v1/cards/{card_id}")
        self._write("get_card", "", card_id, 0, invoked_at, answer)

    def slowest_s(self) -> float:
        """The longest time from a request to its answer."""
        return max(event.returned_at - event.invoked_at for event in self.events)

    def _write(
        self, operation: str, key: str, card: str, amount: int, at: float, answer: Response | None
    ) -> None:
        status, body, replayed = 0, b"", False
        if answer is not None:
            replayed = answer.headers.get("idempotent-replayed") == "true"
            status, body = answer.status, answer.body
        now = time.perf_counter()
        self.events.append(Event(operation, key, card, amount, at, now, status, body, replayed))


async def history_of(
    events: Iterable[Event], dsn: str, data_dir: Path, merchant_id: str
) -> History:
    """The journals beside one snapshot of the tables. `dsn` is the owner's."""
    events = list(events)
    keys = {event.key for event in events if event.key}
    return History(events, *await tables_of(keys, dsn, data_dir, merchant_id))


async def tables_of(
    keys: Iterable[str], dsn: str, data_dir: Path, merchant_id: str
) -> tuple[list[Leg], dict[str, Fact], set[str]]:
    """All legs, what is known of these keys, and the operations of other keys."""
    secret = bytes.fromhex((data_dir / "secret_key").read_text("ascii").strip())
    hashing = door.Keys.of(secret)
    texts = {door.key_hash(hashing, key): key for key in keys}
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(SQL["tenant.set"], merchant_id)
            legs = [Leg(*row) for row in await connection.fetch(_LEGS, merchant_id)]
            rows = await connection.fetch(_KEYS, merchant_id)
    finally:
        await connection.close()
    facts = {texts[row[0]]: Fact(*list(row)[1:]) for row in rows if row[0] in texts}
    foreign = {row["operation_id"] for row in rows if row[0] not in texts}
    return legs, facts, foreign


def declared_answers() -> dict[str, set[tuple[int, str]]]:
    """What each operation may answer, from the declared routes: (status, code), "" for success."""
    found: dict[str, set[tuple[int, str]]] = {}
    for route in declared():
        answers = {(status, "") for status in route.answers}
        errors = {(code.status, code.code) for code in errors_of(route)}
        found[route.operation_id] = answers | errors
    return found
