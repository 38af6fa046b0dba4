"""The lines of a redemption (design section 6): do they add up?"""

from collections.abc import Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """One line of the till's receipt; amounts in minor units."""

    line_id: str
    sku: str
    quantity: int
    list_price: int
    """Per piece, before discount: the law's refund sum needs it (FORM-F1)."""
    discount: int
    """Off the whole line."""
    tax: int
    """On top of the whole line; 0 when prices include it."""
    total: int


def check(lines: Sequence[Line], amount: int) -> list[str]:
    """Everything wrong with the lines of a redemption of `amount` minor units; empty when sound.

    Line ids are unique, a total is quantity x list price - discount + tax, nothing is negative, and
    the cards pay no more than the lines cost; other tenders may pay the rest. No lines: no problem.
    """
    problems: list[str] = []
    seen: set[str] = set()
    for line in lines:
        if line.line_id in seen:
            problems.append(f"line {line.line_id}: the id comes twice, give each line its own")
        seen.add(line.line_id)
        problems += _check_line(line)
    total = sum(line.total for line in lines)
    if lines and amount > total:
        problems.append(f"amount is {amount}, but the lines only cost {total}")
    return problems


def _check_line(line: Line) -> list[str]:
    problems: list[str] = []
    if line.quantity < 1:
        problems.append(f"line {line.line_id}: quantity is {line.quantity}, give 1 or more")
    problems += [
        f"line {line.line_id}: {name} is {value}, give 0 or more"
        for name in ("list_price", "discount", "tax", "total")
        if (value := getattr(line, name)) < 0
    ]
    due = line.quantity * line.list_price - line.discount + line.tax
    if line.total != due:
        problems.append(
            f"line {line.line_id}: total is {line.total}, but quantity x list_price - discount"
            f" + tax is {due}"
        )
    return problems
