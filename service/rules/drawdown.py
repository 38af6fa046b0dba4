"""Which lots pay, and how much each (CAP-C3 to CAP-C5; design section 3, "Lots").

The policy decides between the accounts; inside one account the lot that lapses first pays first.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from service.rules.split import split

ACCOUNTS = ("principal", "bonus")
# The accounts in the order they are drawn; under pro_rata both pay and this is only the listing.
_DRAWN: dict[str, tuple[str, str]] = {
    "bonus_first": ("bonus", "principal"),
    "principal_first": ("principal", "bonus"),
    "pro_rata": ACCOUNTS,
}
POLICIES = tuple(_DRAWN)
_NEVER = datetime.max.replace(tzinfo=UTC)


class Source(NamedTuple):
    """A spendable lot; the caller has left out what is lapsed or held."""

    lot_id: str
    """Time-sortable id."""
    account: str
    """`principal` (paid in) or `bonus` (gifted)."""
    remaining: int
    """Minor units, 0 or more."""
    expires_at: datetime | None
    """First instant at which the lot is no longer valid; None: never lapses."""


def order(sources: Iterable[Source]) -> list[Source]:
    """The lots of one account in the order they pay: earliest expiry, never last, then oldest."""
    return sorted(sources, key=_turn)


def _turn(source: Source) -> tuple[datetime, str]:
    return (source.expires_at or _NEVER, source.lot_id)


def draw(amount: int, sources: Sequence[Source], policy: str) -> list[tuple[Source, int]]:
    """Take `amount` minor units out of the lots: (lot, units) in the drawn order, units above 0.

    `pro_rata` splits the amount over the totals of principal and bonus by largest remainder, a tie
    to principal. No share exceeds its account: amount x account / both <= account, which is whole,
    and rounding to the nearest never passes a whole number.
    Raises ValueError for an unknown policy or account, a negative number, and an amount above what
    the lots hold (the caller decides on partial approval before).
    """
    if policy not in _DRAWN:
        raise ValueError(f"unknown draw-down policy {policy!r}; one of {', '.join(POLICIES)}")
    lots: dict[str, list[Source]] = {account: [] for account in _DRAWN[policy]}
    totals = dict.fromkeys(lots, 0)
    for source in sources:
        if source.account not in lots:
            raise ValueError(f"{source.lot_id}: unknown account {source.account!r}")
        if source.remaining < 0:
            raise ValueError(f"{source.lot_id}: remaining is {source.remaining}, below 0")
        lots[source.account].append(source)
        totals[source.account] += source.remaining
    shares = _shares(amount, tuple(totals.values()), policy)
    drawn: list[tuple[Source, int]] = []
    for candidates, share in zip(lots.values(), shares, strict=True):
        if share:
            drawn += _take(share, candidates)
    return drawn


def _shares(amount: int, totals: tuple[int, ...], policy: str) -> Sequence[int]:
    """How much each account pays, in the drawn order of the accounts."""
    first, second = totals
    if not 0 <= amount <= first + second:
        raise ValueError(f"can't draw {amount}: the lots hold {first + second}")
    if policy == "pro_rata":
        return split(amount, totals)
    return min(amount, first), max(amount - first, 0)


def _take(amount: int, sources: list[Source]) -> list[tuple[Source, int]]:
    taken: list[tuple[Source, int]] = []
    for source in order(sources):
        if not amount:
            break
        part = min(amount, source.remaining)
        if part:
            taken.append((source, part))
            amount -= part
    return taken
