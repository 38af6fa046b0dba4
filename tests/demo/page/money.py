"""Money: how what is owed moved, what the stores took for each other, what was sold."""

from collections.abc import Iterable

from schemas.reports import Movement
from tests.demo.books import REPORTED, Facts, Sum, add, moved, standing
from tests.demo.page.marks import bar, chinese, number, section, table, text, yuan
from tests.demo.wares import WARES

NAMES = {
    "top_up": "Topped up",
    "redeem": "Redeemed",
    "refund": "Refunded",
    "void": "Voided",
    "redeem_reversed": "Redemptions reversed",
    "top_up_reversed": "Top-ups reversed",
    "lapse": "Lapsed",
}
STEPS = {**REPORTED, "lapse": ("lapse", False)}


def roll_forward(facts: Facts) -> str:
    """From what was owed when the stores opened to what is owed now."""
    lines = facts.reports.day.data
    opening, closing = standing(lines, opening=True), standing(lines, opening=False)
    rows = [("opening", "Opening", opening, 0, opening.total)]
    level = opening
    for flow, step in steps(lines).items():
        reached = add(level, step)
        rows.append((flow, NAMES[flow], step, level.total, reached.total))
        level = reached
    rows.append(("closing", "Closing", closing, 0, closing.total))
    room = max(1, *(max(start, end) for *_, start, end in rows))
    shown = [
        (
            f'<span id="roll-{flow}">{name}</span>',
            *(yuan(part) for part in (step.principal, step.bonus, step.total)),
            bar(start / room, end / room, _kind(flow, step)),
        )
        for flow, name, step, start, end in rows
    ]
    heads = ("", "Principal", "Bonus", "Total", "")
    body = table(heads, shown, "numbers roll") + _agreement(facts, closing)
    note = (
        "<code>GET /v1/reports/movements</code>: what the merchant owes its card holders, from the "
        "opening of the stores to the last sale."
    )
    return section("roll", "What is owed, rolled forward", body, note)


def _kind(flow: str, step: Sum) -> str:
    if flow in ("opening", "closing"):
        return "still"
    return "one" if step.total >= 0 else "two"


def steps(lines: Iterable[Movement]) -> dict[str, Sum]:
    """Each flow with its sign."""
    lines = list(lines)
    return {
        flow: add(Sum(), moved(lines, kind, comes_in), 1 if comes_in else -1)
        for flow, (kind, comes_in) in STEPS.items()
    }


def _agreement(facts: Facts, closing: Sum) -> str:
    """The same figure from elsewhere."""
    owed = facts.reports.owed.data
    expired = sum(line.expired for line in owed)
    rows = [
        (
            "Closing of the roll-forward<small>opening + in − out</small>",
            f'<span id="closing">{yuan(closing.total)}</span>',
        ),
        (
            "<code>GET /v1/reports/liability</code>"
            f"<small>of it past its time: {yuan(expired)}</small>",
            f'<span id="liability">{yuan(sum(line.value for line in owed))}</span>',
        ),
        (
            f"{number(facts.balances.operations)} cards, read one by one"
            "<small>what can be spent: without what is past its time</small>",
            f'<span id="cards">{yuan(facts.balances.total)}</span>',
        ),
        (
            "<code>python -m service verify</code><small>INV-D3: what came in less what went out "
            "is what the cards hold</small>",
            f'<span id="breaches">{number(len(facts.breaches))}</span> breaches',
        ),
    ]
    return table(("The same from four sides", ""), rows, "numbers agreement")


def settlements(facts: Facts) -> str:
    """Who sold the value that was used where."""
    names = {store.store_id: store.name for store in facts.stores}
    cells = dict.fromkeys(((sold, used) for sold in names for used in names), 0)
    for cell in facts.reports.settlements.data:
        key = (cell.sold_store_id or "", cell.used_store_id)
        cells[key] = cells.get(key, 0) + cell.redeemed - cell.given_back
    most = max(1, *(abs(value) for value in cells.values()))
    rows = [
        (
            chinese(names[sold]),
            *(_cell(cells[sold, used], most, sold == used) for used in names),
            yuan(sum(cells[sold, used] for used in names)),
        )
        for sold in names
    ]
    totals = [sum(cells[sold, used] for sold in names) for used in names]
    rows.append(("Used, all", *map(yuan, totals), yuan(sum(totals))))
    heads = ("Sold ↓ used →", *(chinese(name) for name in names.values()), "Sold, all")
    redeemed = sum(cell.redeemed for cell in facts.reports.settlements.data)
    given_back = sum(cell.given_back for cell in facts.reports.settlements.data)
    note = (
        "<code>GET /v1/reports/settlements</code>: the store in the row sold the value, the store "
        "in the column took it. The stronger the colour, the more; framed: a store’s own. Redeemed "
        f"<span id='redeemed'>{yuan(redeemed)}</span>, less <span id='given-back'>"
        f"{yuan(given_back)}</span> that was given back."
    )
    return section("settlements", "Sold here, used there", table(heads, rows, "matrix"), note)


def _cell(value: int, most: int, own: bool) -> str:
    """Shaded by its part of the largest."""
    shade = round(60 * abs(value) / most)
    kind = "shade own" if own else "shade"
    return f'<span class="{kind}" style="--shade:{shade}%">{yuan(value)}</span>'


def goods(facts: Facts) -> str:
    """What was sold, before what came back."""
    sold = dict.fromkeys(WARES, 0)
    # A sale may be told twice, of one key; it counts once.
    told = {op.entries[0].operation_id: op.goods for op in facts.ops if op.goods and op.entries}
    for basket in told.values():
        for sku, value in basket.items():
            sold[sku] += value
    most = max(1, *sold.values())
    rows = [
        (
            f"{chinese(WARES[sku].name)} <small>{text(sku)}</small>",
            yuan(value),
            bar(0, value / most),
        )
        for sku, value in sorted(sold.items(), key=lambda item: -item[1])
    ]
    body = table(("", "Yuan", ""), rows, "numbers bars")
    return section(
        "goods", "What was sold", body, "List prices less discounts, before what came back."
    )
