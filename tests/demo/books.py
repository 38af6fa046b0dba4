"""The books: what clients were told, what ledger and cards hold, and where they differ."""

from collections.abc import Iterable

from msgspec import Struct

from tests.demo.messages import OFFICE, Entry, Op, Store

# Each flow of value and its sign on the merchant's liability.
FLOWS = {
    "top_up": 1,
    "redeem": -1,
    "refund": 1,
    "void": 1,
    "redeem_reversed": 1,
    "top_up_reversed": -1,
}
# Only the ledger knows of it: no client asks for it.
LAPSE = "lapse"


class Sum(Struct, frozen=True):
    """Operations and their value per account, in minor units."""

    operations: int = 0
    principal: int = 0
    bonus: int = 0

    @property
    def total(self) -> int:
        """Both accounts."""
        return self.principal + self.bonus


class Facts(Struct):
    """All that the report is made from."""

    seed: int
    seconds: float
    days: int
    stores: list[Store]
    # Per process, by name: how it ended.
    exits: dict[str, int]
    ops: list[Op]
    # From SQL: flows, lapses that nothing has posted yet, number of cards.
    ledger: dict[str, Sum]
    due: Sum
    cards: int
    # From the API: every card's balances.
    balances: Sum
    # From the checker.
    checks: list[str]
    operations: int
    breaches: list[str]


class Roll(Struct, frozen=True):
    """The liability's roll-forward: signed steps from nothing to what the cards must hold."""

    steps: list[tuple[str, Sum]]
    closing: Sum


def add(left: Sum, right: Sum, sign: int = 1) -> Sum:
    """Left plus, or minus, right."""
    return Sum(
        left.operations + right.operations,
        left.principal + sign * right.principal,
        left.bonus + sign * right.bonus,
    )


def told(ops: Iterable[Op]) -> dict[str, Sum]:
    """What clients were told, per flow; an operation told twice counts once."""
    entries = {(e.flow, e.operation_id): e for op in ops for e in op.entries}
    sums: dict[str, Sum] = {}
    for entry in entries.values():
        sums[entry.flow] = add(sums.get(entry.flow, Sum()), _one(entry))
    return sums


def roll_forward(facts: Facts) -> Roll:
    """From the clients' side; only lapses are taken from the ledger."""
    flows = told(facts.ops)
    lapsed = add(facts.ledger.get(LAPSE, Sum()), facts.due)
    signed = [(flow, sign, flows.get(flow, Sum())) for flow, sign in FLOWS.items()]
    steps = [
        (flow, add(Sum(), moved, sign)) for flow, sign, moved in [*signed, (LAPSE, -1, lapsed)]
    ]
    closing = Sum()
    for _, step in steps:
        closing = add(closing, step)
    return Roll(steps, closing)


def faults(facts: Facts) -> list[str]:
    """Everything that must not be; empty when the books balance."""
    found = [f"{name} ended with {code}" for name, code in facts.exits.items() if code]
    busy = {op.place for op in facts.ops}
    idle = [place for place in (OFFICE, *range(len(facts.stores))) if place not in busy]
    found += [f"the process of place {place} did nothing" for place in idle]
    found += _roll_faults(facts) + _ledger_faults(facts)
    found += [
        f"a duplicate {op.kind} was answered differently" for op in facts.ops if op.contradicted
    ]
    found += [
        f"{op.kind} ended with {op.status} {op.codes}" for op in facts.ops if op.status >= 500
    ]
    return found + facts.breaches


def _roll_faults(facts: Facts) -> list[str]:
    closing, held = roll_forward(facts).closing, facts.balances
    return [
        f"{account}: the roll-forward closes with {due}, the cards hold {has}"
        for account, due, has in (
            ("principal", closing.principal, held.principal),
            ("bonus", closing.bonus, held.bonus),
        )
        if due != has
    ]


def _ledger_faults(facts: Facts) -> list[str]:
    """The clients' side against the ledger's, flow by flow."""
    flows = told(facts.ops)
    pairs = {flow: (flows.get(flow, Sum()), facts.ledger.get(flow, Sum())) for flow in FLOWS}
    found = [
        f"{flow}: clients were told {heard}, the ledger has {posted}"
        for flow, (heard, posted) in pairs.items()
        if heard != posted
    ]
    issued = flows.get("issue", Sum()).operations
    if issued != facts.cards:
        found.append(f"clients were told of {issued} cards, the ledger has {facts.cards}")
    return found


def _one(entry: Entry) -> Sum:
    return Sum(1, entry.principal, entry.bonus)
