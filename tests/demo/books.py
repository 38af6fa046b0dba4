"""The books: what clients were told, what ledger and cards hold, and where they differ."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from schemas.reports import Liability, Movement, MovementList, SettlementList
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


class Played(Struct, frozen=True):
    """A chapter as it was: when on the merchant's clock, how long in truth, what was settled."""

    title: str
    tells: str
    at: str
    seconds: float
    operations: int


class Reports(Struct):
    """What the API reports: how the day moved what is owed, what had moved it before the day,
    what is owed at the end, and what one store sold and another took on the day."""

    before: MovementList
    day: MovementList
    owed: Liability
    settlements: SettlementList


class Facts(Struct):
    """All that the report is made from."""

    seed: int
    seconds: float
    plan: str
    # Visits planned, and begun.
    planned: int
    begun: int
    opens_at: datetime
    chapters: list[Played]
    stores: list[Store]
    # Per process, by name: how it ended; and who was killed by plan.
    exits: dict[str, int]
    deaths: list[str]
    ops: list[Op]
    # From SQL: flows, lapses that nothing has posted yet, number of cards.
    ledger: dict[str, Sum]
    due: Sum
    cards: int
    # From the API: every card's balances, reports, what a code means (English, Chinese).
    balances: Sum
    reports: Reports
    meanings: dict[str, tuple[str, str]]
    # From the checker: the invariants and what each says.
    checks: dict[str, str]
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
    if len(facts.deaths) != 1:
        found.append(f"one till was to die: {facts.deaths} did")
    if facts.begun != facts.planned:
        found.append(f"{facts.planned} visits were planned, {facts.begun} begun")
    found += _roll_faults(facts) + _ledger_faults(facts) + _report_faults(facts)
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


# Flows as the reports name them: by kind of operation, and whether value came in.
REPORTED = {
    "top_up": ("top_up", True),
    "redeem": ("redeem", False),
    "refund": ("refund", True),
    "void": ("void", True),
    "redeem_reversed": ("reversal", True),
    "top_up_reversed": ("reversal", False),
}


def moved(lines: Iterable[Movement], kind: str, comes_in: bool) -> Sum:
    """What a roll-forward says of one flow."""
    values = {"principal": 0, "bonus": 0}
    for line in lines:
        for flow in line.flows:
            if flow.kind == kind:
                values[line.account] += flow.value_in if comes_in else flow.value_out
    return Sum(0, values["principal"], values["bonus"])


def standing(lines: Iterable[Movement], opening: bool) -> Sum:
    """What was owed when a roll-forward opens, or closes."""
    values = {"principal": 0, "bonus": 0}
    for line in lines:
        values[line.account] += line.opening if opening else line.closing
    return Sum(0, values["principal"], values["bonus"])


def _report_faults(facts: Facts) -> list[str]:
    """The reports against the clients, the cards, and each other."""
    reports = facts.reports
    both = [*reports.before.data, *reports.day.data]
    flows = told(facts.ops)
    found = [
        f"{flow}: clients were told {_value(heard)}, the reports say {_value(said)}"
        for flow, (kind, comes_in) in REPORTED.items()
        if _value(heard := flows.get(flow, Sum())) != _value(said := moved(both, kind, comes_in))
    ]
    for line in both:
        net = sum(flow.value_in - flow.value_out for flow in line.flows)
        if line.opening + net != line.closing:
            found.append(f"{line.account}: {line.opening} and {net} do not make {line.closing}")
    if standing(reports.before.data, False) != standing(reports.day.data, True):
        found.append("the day does not open with what was owed before it")
    # What is past its time is owed no more, though still on the books.
    owed = sum(line.value - line.expired for line in reports.owed.data)
    closing = standing(reports.day.data, False).total
    if closing != sum(line.value for line in reports.owed.data):
        found.append(f"the roll-forward closes with {closing}, another report says otherwise")
    if owed != facts.balances.total:
        found.append(f"the reports say {owed} is owed, the cards hold {facts.balances.total}")
    return found + _settlement_faults(reports)


def _settlement_faults(reports: Reports) -> list[str]:
    """What the stores took is what was redeemed, what they gave back is what came back."""
    day, cells = reports.day.data, reports.settlements.data
    back = [moved(day, kind, True).total for kind in ("refund", "void", "reversal")]
    pairs = (
        ("redeemed", sum(cell.redeemed for cell in cells), moved(day, "redeem", False).total),
        ("given back", sum(cell.given_back for cell in cells), sum(back)),
    )
    return [
        f"{name}: {stores} between the stores, {rolled} in the roll-forward"
        for name, stores, rolled in pairs
        if stores != rolled
    ]


def _value(of: Sum) -> tuple[int, int]:
    return of.principal, of.bonus


def _one(entry: Entry) -> Sum:
    return Sum(1, entry.principal, entry.bonus)
