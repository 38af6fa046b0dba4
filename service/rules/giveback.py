"""Refunds go back into the lots they came from (CAP-E2 to CAP-E4; design section 3, "Lots").

What stays captured is a pure function of the captured total, and a refund is the difference of two
such states. So it makes no difference in how many slices a redemption is refunded.
"""

from collections.abc import Sequence

from service.rules.drawdown import ACCOUNTS, POLICIES
from service.rules.split import split

Allocation = Sequence[tuple[str, str, int]]
"""What a redemption took, in the drawn order: (lot_id, account, minor units)."""


def remaining_allocation(allocation: Allocation, policy: str, captured_after: int) -> list[int]:
    """How much of each entry stays when the redemption is reduced to `captured_after` minor units.

    Under an ordered policy the last drawn goes back first. Under `pro_rata` what stays is split by
    largest remainder over the account totals of the allocation, a tie to principal, and inside an
    account the last drawn goes back first. Between two accounts neither share ever grows while the
    total shrinks, which is what makes a refund the difference of two states.
    Raises ValueError for an unknown policy or account, a negative entry, and a `captured_after`
    outside 0..total.
    """
    totals = _totals(allocation)
    total = sum(totals.values())
    if policy not in POLICIES:
        raise ValueError(f"unknown draw-down policy {policy!r}; one of {', '.join(POLICIES)}")
    if not 0 <= captured_after <= total:
        raise ValueError(f"can't reduce to {captured_after}: the allocation holds {total}")
    if policy != "pro_rata":
        return _keep_first([captured_after], [(0, amount) for _lot, _account, amount in allocation])
    return _keep_first(
        split(captured_after, list(totals.values())),
        [(ACCOUNTS.index(account), amount) for _lot, account, amount in allocation],
    )


def _totals(allocation: Allocation) -> dict[str, int]:
    totals = dict.fromkeys(ACCOUNTS, 0)
    for lot_id, account, amount in allocation:
        if account not in totals:
            raise ValueError(f"{lot_id}: unknown account {account!r}")
        if amount < 0:
            raise ValueError(f"{lot_id}: the allocation holds {amount}, below 0")
        totals[account] += amount
    return totals


def _keep_first(left: list[int], entries: list[tuple[int, int]]) -> list[int]:
    """Fill entries of (pot, amount) from the front; `left` is what each pot keeps, used up here."""
    kept: list[int] = []
    for pot, amount in entries:
        part = min(amount, left[pot])
        left[pot] -= part
        kept.append(part)
    return kept


def give_back(
    allocation: Allocation, policy: str, refunded_before: int, refund: int
) -> list[tuple[int, int]]:
    """Where a refund of `refund` minor units goes: (index in the allocation, units), last first.

    `refunded_before` is the sum of all earlier refunds of this redemption. Units are above 0 and
    add up to `refund`.
    Raises ValueError as `remaining_allocation`, for a negative number, and for a refund above what
    is still captured.
    """
    if refund < 0 or refunded_before < 0:
        raise ValueError(f"can't refund {refund} after {refunded_before}: both must be 0 or more")
    captured = sum(amount for _lot, _account, amount in allocation) - refunded_before
    if refund > captured:
        raise ValueError(f"can't refund {refund}: {captured} is still captured")
    before = remaining_allocation(allocation, policy, captured)
    after = remaining_allocation(allocation, policy, captured - refund)
    return [
        (index, before[index] - after[index])
        for index in range(len(allocation) - 1, -1, -1)
        if before[index] != after[index]
    ]
