"""What a till wants next: mostly redemptions, now and then everything else that moves value."""

import random
from typing import Any

from msgspec import Struct, field

from tests.crash.journal import Entry
from tests.harness.tenant import TestCard

WEIGHTS = {
    "redeem": 62,
    "twin": 4,  # one redemption sent on two connections at once
    "again": 5,  # a key that has its answer
    "top_up": 8,
    "refund": 8,
    "void": 4,
    "reversal": 4,
    "late": 1,  # a key that is reversed before its request arrives
    "freeze": 1,
    "read": 3,
}
HOT_CARDS = 5
HOT_SHARE = 0.2
REFUND_PART = 0.6


class Shop(Struct):
    """What all tills of one merchant share."""

    merchant_id: str
    template_id: str
    store_ids: list[str]
    pos_keys: list[str]
    merchant_key: str
    cards: list[TestCard] = field(default_factory=list)


class Till(Struct):
    """One client: who it is, and what it remembers. Its journal is all it ever sent with a key."""

    name: str
    store_id: str
    token: str
    may_freeze: bool
    rng: random.Random
    shop: Shop
    journal: list[Entry] = field(default_factory=list)
    reads: list[Entry] = field(default_factory=list)
    frozen: str = ""
    sent: int = 0

    def key(self) -> str:
        """A key never used before; it is also the request's and the receipt's number."""
        self.sent += 1
        return f"{self.name}-{self.sent:06d}"

    def card(self) -> TestCard:
        """A card: often one of the few hot ones, so that commands fold."""
        cards = self.shop.cards
        return self.rng.choice(cards[:HOT_CARDS] if self.rng.random() < HOT_SHARE else cards)


def choose(till: Till) -> str:
    """What kind of intent comes next."""
    if till.frozen:
        return "unfreeze"
    kind = till.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    if kind in ("refund", "void", "reversal", "again") and not undoable(till):
        return "redeem"
    return "redeem" if kind == "freeze" and not till.may_freeze else kind


def undoable(till: Till) -> list[Entry]:
    """The till's latest redemptions that succeeded."""
    return [e for e in till.journal[-60:] if e.kind == "redeem" and e.outcome == "ok"]


def make(till: Till, kind: str) -> Entry:
    """The request for an intent of this kind; not sent yet."""
    return _MAKERS[kind](till)


def _money(value: int) -> dict[str, Any]:
    return {"value": value, "currency": "CNY"}


def _issue(till: Till) -> Entry:
    body = {"template_id": till.shop.template_id, "activate": True}
    return Entry("issue", till.key(), "/v1/cards", body)


def _redeem(till: Till) -> Entry:
    key, amount = till.key(), till.rng.randint(1, 50)
    body = {
        "request_no": key,
        "amount": _money(amount),
        "sources": [{"card_number": till.card().number}],
        "store_id": till.store_id,
        "till": {"receipt_no": key},
    }
    return Entry("redeem", key, "/v1/redemptions", body, amount)


def _top_up(till: Till) -> Entry:
    # One in four earns the ladder's bonus, so that both accounts are drawn from.
    return credit(till, till.card().card_id, till.rng.choice([30_000, 100, 2_000, 50]))


def credit(till: Till, card_id: str, amount: int) -> Entry:
    """A top-up of this card."""
    key = till.key()
    body = {
        "amount": _money(amount),
        "tender": "wechat_pay",
        "payment_reference": key,
        "store_id": till.store_id,
        "till": {"receipt_no": key},
    }
    return Entry("top_up", key, f"/v1/cards/{card_id}/top-ups", body, amount)


def _refund(till: Till) -> Entry:
    key, target = till.key(), till.rng.choice(undoable(till))
    body: dict[str, Any] = {"reason": key, "till": {"receipt_no": key}}
    amount = None
    if till.rng.random() < REFUND_PART:
        amount = till.rng.randint(1, target.amount or 1)
        body["amount"] = _money(amount)
    path = f"/v1/redemptions/{target.answered_id}/refunds"
    return Entry("refund", key, path, body, amount, target)


def _void(till: Till) -> Entry:
    key, target = till.key(), till.rng.choice(undoable(till))
    body = {"reason": key, "till": {"receipt_no": key}}
    return Entry("void", key, f"/v1/redemptions/{target.answered_id}/void", body, None, target)


def _reversal(till: Till) -> Entry:
    return reverse(till, till.rng.choice(undoable(till)))


def reverse(till: Till, target: Entry) -> Entry:
    """Undo by key what `target` did, or block its key."""
    key = till.key()
    body = {"idempotency_key": target.key, "reason": key}
    return Entry("reversal", key, "/v1/reversals", body, None, target)


def _freeze(till: Till) -> Entry:
    # Not a hot card: a frozen one refuses, and refusals are not what is measured here.
    till.frozen = till.rng.choice(till.shop.cards[HOT_CARDS:]).card_id
    key = till.key()
    return Entry("freeze", key, f"/v1/cards/{till.frozen}/freeze", {"reason": key})


def _unfreeze(till: Till) -> Entry:
    key, card_id = till.key(), till.frozen
    till.frozen = ""
    return Entry("unfreeze", key, f"/v1/cards/{card_id}/unfreeze", {"reason": key})


def _read(till: Till) -> Entry:
    return Entry("read", "", f"/v1/cards/{till.card().card_id}", {})


_MAKERS = {
    "issue": _issue,
    "redeem": _redeem,
    "top_up": _top_up,
    "refund": _refund,
    "void": _void,
    "reversal": _reversal,
    "freeze": _freeze,
    "unfreeze": _unfreeze,
    "read": _read,
}
