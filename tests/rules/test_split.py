"""Largest remainder: nothing lost, nobody short by a whole unit."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import strategies as st

from service.kernel.money import AMOUNT_MAX
from service.rules.split import split
from tests.rules.properties import Property, each

Split = Callable[[int, Sequence[int]], list[int]]


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (0, (), []),
        (0, (0, 0), [0, 0]),
        (0, (5, 3), [0, 0]),
        (7, (1,), [7]),
        (7, (0, 1), [0, 7]),
        (10, (1, 1, 1), [4, 3, 3]),
        (11, (1, 1, 1), [4, 4, 3]),
        (1, (1, 1), [1, 0]),  # a tie goes to the earlier
        (3, (1, 1), [2, 1]),
        (1, (1, 2), [0, 1]),  # the larger remainder, not the first
        (100, (300, 50), [86, 14]),
        (5, (2, 3, 5), [1, 2, 2]),  # remainders 0, .5, .5: the earlier of the two
        (AMOUNT_MAX, (AMOUNT_MAX, AMOUNT_MAX), [2**52, 2**52 - 1]),
    ],
)
def test_split(total: int, weights: tuple[int, ...], parts: list[int]) -> None:
    assert split(total, weights) == parts


@pytest.mark.parametrize(
    ("total", "weights", "why"),
    [
        (-1, (1,), "can't split -1: the total must be 0 or more"),
        (5, (3, -1), r"can't split by \[3, -1\]: every weight"),
        (5, (), "can't split 5: at least one weight"),
        (5, (0, 0), "can't split 5: at least one weight"),
    ],
)
def test_refused(total: int, weights: tuple[int, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        split(total, weights)


def test_three_parties_may_shrink_as_the_total_grows() -> None:
    """The Alabama paradox: why giveback splits over two accounts only."""
    assert split(10, (6, 6, 2)) == [4, 4, 2]
    assert split(11, (6, 6, 2)) == [5, 5, 1]


def adds_up(split: Split, total: int, weights: list[int]) -> None:
    assert sum(split(total, weights)) == total


def rounds_only(split: Split, total: int, weights: list[int]) -> None:
    whole = sum(weights)
    for part, weight in zip(split(total, weights), weights, strict=True):
        assert total * weight // whole <= part <= -(-total * weight // whole)


def rounds_up_the_largest_remainders(split: Split, total: int, weights: list[int]) -> None:
    whole = sum(weights)
    parts = split(total, weights)
    up = [i for i, weight in enumerate(weights) if parts[i] > total * weight // whole]
    ranked = sorted((-(total * weight % whole), i) for i, weight in enumerate(weights))
    assert sorted(up) == sorted(i for _remainder, i in ranked[: len(up)])


def two_parts_only_grow(split: Split, total: int, weights: tuple[int, int]) -> None:
    steps = [split(total + more, weights) for more in range(25)]
    for before, after in pairwise(steps):
        assert before[0] <= after[0]
        assert before[1] <= after[1]


def floors(total: int, weights: Sequence[int]) -> list[int]:
    return [total * weight // sum(weights) for weight in weights]


def last_takes_the_rest(total: int, weights: Sequence[int]) -> list[int]:
    parts = floors(total, weights)
    parts[-1] += total - sum(parts)
    return parts


def first_come_first_served(total: int, weights: Sequence[int]) -> list[int]:
    parts = floors(total, weights)
    for i in range(total - sum(parts)):
        parts[i] += 1
    return parts


def smallest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    parts = floors(total, weights)
    whole = sum(weights)
    nearest = sorted(range(len(weights)), key=lambda i: total * weights[i] % whole)
    for i in nearest[: total - sum(parts)]:
        parts[i] += 1
    return parts


totals = st.integers(0, 1000) | st.integers(0, AMOUNT_MAX)
weight = st.integers(0, 9) | st.integers(0, AMOUNT_MAX)
weights = st.lists(weight, min_size=1, max_size=6).filter(any)
two = st.tuples(weight, weight).filter(any)
PROPERTIES = [
    Property(adds_up, split, floors, (totals, weights)),
    Property(rounds_only, split, last_takes_the_rest, (totals, weights)),
    Property(rounds_up_the_largest_remainders, split, first_come_first_served, (totals, weights)),
    Property(two_parts_only_grow, split, smallest_remainder, (totals, two)),
]


@each(PROPERTIES)
def test_property_holds(prop: Property) -> None:
    prop.holds()


@each(PROPERTIES)
def test_property_rejects_a_wrong_variant(prop: Property) -> None:
    prop.rejects_the_wrong()
