"""Splitting an amount without losing a unit (decisions, "Money and law": largest remainder)."""

from collections.abc import Sequence


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` minor units in proportion to `weights`; the parts add up to `total` exactly.

    Each part is its exact share rounded down or up; the units left over go to the largest
    remainders, ties to the earlier. A weight of 0 gets 0. With two weights each part only grows
    with `total`; with three or more it may shrink, so don't build refunds on that.
    Raises ValueError for a negative total or weight, and when nothing has weight but total isn't 0.
    """
    if total < 0:
        raise ValueError(f"can't split {total}: the total must be 0 or more")
    if min(weights, default=0) < 0:
        raise ValueError(f"can't split by {list(weights)}: every weight must be 0 or more")
    whole = sum(weights)
    if whole == 0:
        if total:
            raise ValueError(f"can't split {total}: at least one weight must be above 0")
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    if left:
        # A stable sort keeps the earlier first among equal remainders.
        nearest = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
        for i in nearest[:left]:
            parts[i] += 1
    return parts
