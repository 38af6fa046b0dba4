"""The day: its figures, its chapters, when redemptions came and how fast they were answered."""

import math
from collections.abc import Iterable

from tests.demo.books import Facts, Sum, told
from tests.demo.chapters import CHAPTERS, DAY_CLOSES, DAY_OPENS, clock
from tests.demo.messages import Op
from tests.demo.page.marks import code, number, section, table, text, yuan
from tests.demo.page.svg import Columns, columns

BIN_MIN = 30
# Columns of the latency chart: so many to each doubling.
PER_DOUBLING = 2
TICKS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def figures(facts: Facts) -> str:
    """The handful of numbers that say what kind of day it was."""
    flows = told(op for op in facts.ops if op.minute >= DAY_OPENS)
    sold, paid = flows.get("redeem", Sum()), flows.get("top_up", Sum())
    back = [flows.get(flow, Sum()) for flow in ("refund", "void", "redeem_reversed")]
    redeemed = _times(facts.ops, "redeem")
    cards = (
        ("Redemptions", number(sold.operations), f"{yuan(sold.total)} yuan"),
        ("Top-ups", number(paid.operations), f"{yuan(paid.total)} yuan, bonus included"),
        (
            "Given back",
            number(sum(one.operations for one in back)),
            f"{yuan(sum(one.total for one in back))} yuan",
        ),
        ("Cards", number(facts.cards), f"of them {_new(facts)} new on the day"),
        (
            "Typical answer",
            f"{_part(redeemed, 0.5):.0f} ms",
            f"to a redemption; 99 % within {_part(redeemed, 0.99):.0f} ms",
        ),
        ("Lines cut", number(sum(op.drops for op in facts.ops)), "none left in doubt"),
    )
    boxes = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd><dd class='small'>{more}</dd></div>"
        for name, value, more in cards
    )
    return section("figures", "The day in figures", f"<dl>{boxes}</dl>")


def _new(facts: Facts) -> str:
    return number(sum(op.kind == "issue" and op.minute >= DAY_OPENS for op in facts.ops))


def chapters(facts: Facts) -> str:
    """What happened when."""
    rows = [
        (
            f"{f'{place}. ' if place else ''}{text(one.title)}<small>{text(one.tells)}</small>",
            one.at,
            number(one.operations),
            f"{one.seconds:.1f}",
        )
        for place, one in enumerate(facts.chapters)
    ]
    heads = ("Chapter", "From", "Operations", "Took, s")
    return section("chapters", "What happened", table(heads, rows, "numbers"))


def redemptions(facts: Facts) -> str:
    """Redemptions over the day, by the merchant's clock."""
    bins = (DAY_CLOSES - DAY_OPENS) // BIN_MIN
    sold, refused = [0] * bins, [0] * bins
    for op in facts.ops:
        if op.kind == "redeem" and op.status:
            place = min(bins - 1, (op.minute - DAY_OPENS) // BIN_MIN)
            (refused if op.codes else sold)[place] += 1
    names = [
        f"{clock(DAY_OPENS + place * BIN_MIN)}: {sold[place]} sold, {refused[place]} refused"
        for place in range(bins)
    ]
    chart = Columns(
        label="Redemptions in each half hour of the day, sold and refused",
        unit="time of day; redemptions in each half hour",
        stacks=list(zip(sold, refused, strict=True)),
        names=names,
        ticks=[(_column(hour * 60), clock(hour * 60)) for hour in range(9, 27, 3)],
        bands=[
            (_column(one.opens), _column(one.closes), str(place))
            for place, one in enumerate(CHAPTERS)
            if place
        ],
    )
    note = (
        f"<b class='one'>■</b> sold {number(sum(sold))}, <b class='two'>■</b> refused "
        f"{number(sum(refused))}; not drawn: {number(_unseen(facts))} of which a till learned only "
        "by undoing them. The numbers above are the chapters; all stores but one close at 22:00."
    )
    return section("redemptions", "Redemptions over the day", columns(chart), note)


def _unseen(facts: Facts) -> int:
    """Redemptions whose answer never arrived; they were undone by key."""
    return sum(op.kind == "reversal" and op.became == "reversed" for op in facts.ops)


def _column(minute: int) -> float:
    return (minute - DAY_OPENS) / BIN_MIN


def latency(facts: Facts) -> str:
    """How long a till waited for the answer to a redemption; the axis doubles."""
    times = _times(facts.ops, "redeem")
    first, last = (math.floor(PER_DOUBLING * math.log2(one)) for one in (times[0], times[-1]))
    counts = [0] * (last - first + 1)
    for one in times:
        counts[math.floor(PER_DOUBLING * math.log2(one)) - first] += 1
    edges = [2 ** ((first + place) / PER_DOUBLING) for place in range(len(counts) + 1)]
    marks = [(0.5, "half within {:.0f} ms"), (0.99, "99 % within {:.0f} ms")]
    chart = Columns(
        label="Distribution of the time to answer a redemption",
        unit="ms from request to answer (each step doubles); redemptions",
        stacks=[(count,) for count in counts],
        names=[
            f"{edges[place]:.1f} to {edges[place + 1]:.1f} ms: {count}"
            for place, count in enumerate(counts)
        ],
        ticks=[
            (PER_DOUBLING * math.log2(tick) - first, f"{tick:,}")
            for tick in TICKS_MS
            if edges[0] <= tick <= edges[-1]
        ],
        marks=[
            (PER_DOUBLING * math.log2(value) - first, label.format(value))
            for part, label in marks
            for value in [_part(times, part)]
        ],
    )
    note = (
        f"{number(len(times))} requests to redeem, sold or refused, as the tills saw them on a "
        "machine that also ran the tills and the database."
    )
    return section("latency", "How long a till waited", columns(chart), note)


def speed(facts: Facts) -> str:
    """How fast each kind of request was answered."""
    kinds = sorted({op.kind for op in facts.ops if op.latency_ms})
    rows = []
    for kind in kinds:
        times = _times(facts.ops, kind)
        rows.append(
            (
                code(kind),
                number(len(times)),
                f"{_part(times, 0.5):.0f}",
                f"{_part(times, 0.99):.0f}",
            )
        )
    heads = ("Request", "Number", "Half within, ms", "99 % within, ms")
    return section("speed", "Every kind of request", table(heads, rows, "numbers"))


def _times(ops: Iterable[Op], kind: str) -> list[float]:
    """Sorted; never empty, so that a day without one can be drawn too."""
    return sorted(op.latency_ms for op in ops if op.kind == kind and op.latency_ms) or [1.0]


def _part(times: list[float], part: float) -> float:
    return times[int(len(times) * part)]
