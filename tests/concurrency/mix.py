"""A mix of everything that moves value or state, by many clients on few cards, written down."""

import random
import time
from typing import Any

from msgspec import Struct, field

from tests.concurrency.crowd import Request, redeem, reverse
from tests.concurrency.journal import Journal
from tests.harness.client import Client
from tests.harness.tenant import TestCard

PRICE = 100
# How often each is chosen, of their sum.
WEIGHTS = {
    "redeem": 40, "top_up": 12, "refund": 10, "void": 6, "reverse": 6, "freeze": 3, "unfreeze": 6,
    "again": 7, "look": 10,
}  # fmt: skip
RECENT = 400


class Sale(Struct, frozen=True):
    """A redemption or top-up that passed: what may be given back."""

    operation_id: str
    key: str
    card: TestCard


class Mix(Struct):
    """What the clients share: the cards, the journal, and what was done a moment ago."""

    cards: list[TestCard]
    store_id: str
    journal: Journal = field(default_factory=Journal)
    sales: list[Sale] = field(default_factory=list)
    sent: list[tuple[str, Request, str, int]] = field(default_factory=list)

    async def play(self, client: Client, name: str, seed: int, until: float) -> None:
        """One client's part, one request after another until `until` (perf_counter seconds)."""
        chance = random.Random(seed)
        kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
        number = 0
        while time.perf_counter() < until:
            number += 1
            kind = chance.choices(kinds, weights)[0]
            await self._one(client, kind, f"{name}-{number:05d}", chance)

    async def _one(self, client: Client, kind: str, key: str, chance: random.Random) -> None:
        card = chance.choice(self.cards)
        if kind == "look":
            await self.journal.look(client, card.card_id)
        elif kind == "again":
            if self.sent:
                await self._send(client, *chance.choice(self.sent))
        elif kind in ("refund", "void", "reverse"):
            if self.sales:
                sale = chance.choice(self.sales)
                await self._send(client, *self._undo(kind, sale, key, chance))
        else:
            await self._forward(client, kind, card, key, chance)

    async def _forward(
        self, client: Client, kind: str, card: TestCard, key: str, chance: random.Random
    ) -> None:
        operation, request, amount = self._request(kind, card, key, chance)
        answer = await self._send(client, operation, request, card.card_id, amount)
        if answer is not None and kind in ("redeem", "top_up"):
            self.sales.append(Sale(answer["id"], key, card))
            del self.sales[:-RECENT]

    def _request(
        self, kind: str, card: TestCard, key: str, chance: random.Random
    ) -> tuple[str, Request, int]:
        amount = PRICE * chance.randint(1, 8)
        if kind == "redeem":
            return "create_redemption", redeem(card, amount, key, store_id=self.store_id), amount
        path = f"/v1/cards/{card.card_id}"
        if kind == "top_up":
            body = {
                "amount": {"value": amount, "currency": "CNY"},
                "tender": "cash",
                "store_id": self.store_id,
            }
            return "create_top_up", Request(f"{path}/top-ups", body, key), amount
        return f"{kind}_card", Request(f"{path}/{kind}", {}, key), 0

    def _undo(
        self, kind: str, sale: Sale, key: str, chance: random.Random
    ) -> tuple[str, Request, str, int]:
        if kind == "reverse":
            return "create_reversal", reverse(sale.key, key), sale.card.card_id, 0
        path = f"/v1/redemptions/{sale.operation_id}"
        if kind == "void":
            return "void_redemption", Request(f"{path}/void", {}, key), sale.card.card_id, 0
        amount = PRICE * chance.randint(1, 4)
        body = {"amount": {"value": amount, "currency": "CNY"}}
        return "create_refund", Request(f"{path}/refunds", body, key), sale.card.card_id, amount

    async def _send(
        self, client: Client, operation: str, request: Request, card_id: str, amount: int
    ) -> Any:
        """The body of an answer that says yes."""
        self.sent.append((operation, request, card_id, amount))
        del self.sent[:-RECENT]
        answer = await self.journal.post(client, operation, request, card_id, amount)
        return answer.json() if answer is not None and answer.status < 300 else None
