"""The report of a run, for people."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from tests.demo.books import Facts, Roll, Sum, faults, roll_forward, told
from tests.demo.messages import OFFICE, Op

_STEPS = {
    "top_up": "+ topped up (paid, bonus)",
    "redeem": "− redeemed",
    "refund": "+ refunded",
    "void": "+ voided",
    "redeem_reversed": "+ redemptions reversed",
    "top_up_reversed": "− top-ups reversed",
    "lapse": "− lapsed",
}
_BACK_AND_FORTH = (
    ("redemptions", "redeem"),
    ("refunds", "refund"),
    ("voids", "void"),
    ("redemptions reversed", "redeem_reversed"),
    ("top-ups reversed", "top_up_reversed"),
)
_COLUMNS = (28, 16, 16, 16, 8)


def text(facts: Facts) -> str:
    """All sections; the last line is the verdict."""
    wrong = faults(facts)
    sections = [
        _heading(facts),
        _traffic(facts),
        _stores(facts),
        _refusals(facts.ops),
        _mishaps(facts.ops),
        _liability(facts, roll_forward(facts)),
        _speed(facts),
        _invariants(facts),
        [f"WRONG: {fault}" for fault in wrong],
        ["The books do not balance." if wrong else "The books balance, to the cent."],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _heading(facts: Facts) -> list[str]:
    return [
        f"星河美发: {len(facts.stores)} stores and a mini-program, a day in "
        f"{facts.seconds:.0f} s (seed {facts.seed}, plan {facts.plan}: {facts.planned} visits)"
    ]


def _traffic(facts: Facts) -> list[str]:
    flows = told(facts.ops)
    paid, given = flows.get("top_up", Sum()), flows.get("issue", Sum())
    return [
        f"cards issued          {given.operations:>8}",
        f"top-ups               {paid.operations:>8}   paid {_yuan(paid.principal)}, "
        f"bonus {_yuan(paid.bonus)}",
        *(_counted(name, flows.get(flow, Sum())) for name, flow in _BACK_AND_FORTH),
    ]


def _counted(name: str, moved: Sum) -> str:
    return f"{name:<21} {moved.operations:>8}   {_yuan(moved.total)}"


def _stores(facts: Facts) -> list[str]:
    rows = [_row(("redeemed by", "redemptions", "yuan", "late night", ""))]
    names = {OFFICE: "mini-program (by card id)"} | {
        place: store.name for place, store in enumerate(facts.stores)
    }
    for place, name in names.items():
        ops = [op for op in facts.ops if op.place == place]
        moved = told(ops).get("redeem", Sum())
        late = sum(op.late_night for op in ops)
        rows.append(_row((name, str(moved.operations), _yuan(moved.total), str(late), "")))
    return rows


def _refusals(ops: Sequence[Op]) -> list[str]:
    counts = Counter((op.kind, code) for op in ops for code in op.codes)
    rows = [f"  {code:<28} {kind:<10} {count:>7}" for (kind, code), count in sorted(counts.items())]
    return ["refused, and why", *rows]


def _mishaps(ops: Sequence[Op]) -> list[str]:
    given_up = sum(op.kind == "given_up" for op in ops)
    return [
        f"lines cut             {sum(op.drops for op in ops):>8}",
        f"sent more than once   {sum(op.sent > 1 for op in ops):>8}",
        f"answers replayed      {sum(op.replayed for op in ops):>8}",
        f"given up, undone      {given_up:>8}",
    ]


def _liability(facts: Facts, roll: Roll) -> list[str]:
    rows = [_row(("liability, yuan", "principal", "bonus", "total", "number"))]
    rows.append(_sums("opening", Sum()))
    rows += [_sums(_STEPS[flow], moved) for flow, moved in roll.steps]
    rows.append(_sums("= closing", Sum(0, roll.closing.principal, roll.closing.bonus)))
    rows.append(
        _sums(
            f"Σ of {facts.balances.operations} cards (API)",
            Sum(0, facts.balances.principal, facts.balances.bonus),
        )
    )
    return rows


def _speed(facts: Facts) -> list[str]:
    answered = [op for op in facts.ops if op.latency_ms]
    rows = [
        f"{len(answered)} operations in {facts.seconds:.1f} s: "
        f"{len(answered) / facts.seconds:.0f}/s (customers come as planned)",
        f"  {'':<12} {'number':>8} {'p50 ms':>8} {'p99 ms':>8}",
    ]
    for kind in sorted({op.kind for op in answered}):
        times = sorted(op.latency_ms for op in answered if op.kind == kind)
        p50, p99 = (times[int(len(times) * part)] for part in (0.5, 0.99))
        rows.append(f"  {kind:<12} {len(times):>8} {p50:>8.1f} {p99:>8.1f}")
    return rows


def _invariants(facts: Facts) -> list[str]:
    return [
        f"invariants on {facts.operations} operations: {', '.join(facts.checks)}",
        f"breaches: {len(facts.breaches)}",
    ]


def _sums(name: str, moved: Sum) -> str:
    number = str(moved.operations) if moved.operations else ""
    return _row((name, _yuan(moved.principal), _yuan(moved.bonus), _yuan(moved.total), number))


def _row(cells: Sequence[str]) -> str:
    """The first cell to the left, the others to the right; a Chinese sign is two columns wide."""
    padded = []
    for place, (cell, width) in enumerate(zip(cells, _COLUMNS, strict=True)):
        wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in cell)
        space = " " * max(0, width - len(cell) - wide)
        padded.append(cell + space if place == 0 else space + cell)
    return "".join(padded).rstrip()


def _yuan(minor: int) -> str:
    sign, value = "−" if minor < 0 else "", abs(minor)
    return f"{sign}{value // 100:,}.{value % 100:02}"
