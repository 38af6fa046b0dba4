"""Which lots pay, and how much each (CAP-C3 to CAP-C5; design section 3, "Lots").

The policy decides between the accounts; inside one account the lot that lapses first pays first.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from schemas.common import Account
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
    account: Account
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
    first_account, second_account = _DRAWN[policy]
    first: list[Source] = []
    second: list[Source] = []
    first_total = second_total = 0
    for source in sources:
        lot_id, account, remaining, _expires_at = source
        if remaining < 0:
            raise ValueError(f"{lot_id}: remaining is {remaining}, below 0")
        if account == first_account:
            first.append(source)
            first_total += remaining
        elif account == second_account:
            second.append(source)
            second_total += remaining
        else:
            raise ValueError(f"{lot_id}: unknown account {account!r}")
    if not 0 <= amount <= first_total + second_total:
        raise ValueError(f"can't draw {amount}: the lots hold {first_total + second_total}")
    if policy == "pro_rata":
        share = split(amount, (first_total, second_total))[0]
    else:
        share = min(amount, first_total)
    return _take(share, first) + _take(amount - share, second)


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
