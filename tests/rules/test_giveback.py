"""Refunds land in the lots that paid, however they are sliced."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from schemas.common import Account
from service.kernel.money import AMOUNT_MAX
from service.rules.drawdown import POLICIES, Source, draw
from service.rules.giveback import Allocation, give_back, remaining_allocation
from service.rules.split import split
from tests.rules.properties import Property, each

ACCOUNTS: tuple[Account, Account] = ("principal", "bonus")
GiveBack = Callable[[Allocation, str, int, int], list[tuple[int, int]]]
Keep = Callable[[Allocation, str, int], list[int]]

BONUS_FIRST = [("lot_04", "bonus", 2_000), ("lot_02", "bonus", 5_000), ("lot_01", "principal", 999)]
PRO_RATA = [("lot_01", "principal", 300), ("lot_03", "principal", 100), ("lot_02", "bonus", 70)]


@pytest.mark.parametrize(
    ("allocation", "policy", "captured_after", "kept"),
    [
        (BONUS_FIRST, "bonus_first", 7_999, [2_000, 5_000, 999]),
        (BONUS_FIRST, "bonus_first", 7_000, [2_000, 5_000, 0]),
        (BONUS_FIRST, "bonus_first", 2_001, [2_000, 1, 0]),
        (BONUS_FIRST, "bonus_first", 0, [0, 0, 0]),
        (PRO_RATA, "pro_rata", 470, [300, 100, 70]),
        (PRO_RATA, "pro_rata", 376, [300, 20, 56]),
        (PRO_RATA, "pro_rata", 47, [40, 0, 7]),
        (PRO_RATA, "pro_rata", 1, [1, 0, 0]),
        ([], "pro_rata", 0, []),
        ([("lot_1", "bonus", 0), ("lot_2", "bonus", 5)], "bonus_first", 4, [0, 4]),
    ],
)
def test_CAP_E3_what_stays_captured(
    allocation: Allocation, policy: str, captured_after: int, kept: list[int]
) -> None:
    assert remaining_allocation(allocation, policy, captured_after) == kept


@pytest.mark.parametrize(
    ("allocation", "policy", "before", "refund", "back"),
    [
        (BONUS_FIRST, "bonus_first", 0, 1_000, [(2, 999), (1, 1)]),
        (BONUS_FIRST, "bonus_first", 1_000, 5_000, [(1, 4_999), (0, 1)]),
        (BONUS_FIRST, "principal_first", 0, 0, []),
        (PRO_RATA, "pro_rata", 0, 94, [(2, 14), (1, 80)]),
        (PRO_RATA, "pro_rata", 94, 376, [(2, 56), (1, 20), (0, 300)]),
    ],
)
def test_CAP_E4_back_into_the_lots_that_paid(
    allocation: Allocation, policy: str, before: int, refund: int, back: list[tuple[int, int]]
) -> None:
    assert give_back(allocation, policy, before, refund) == back


@pytest.mark.parametrize(
    ("before", "refund", "why"),
    [
        (0, 471, "can't refund 471: 470 is still captured"),
        (470, 1, "can't refund 1: 0 is still captured"),
        (-1, 5, "can't refund 5 after -1: both must be 0 or more"),
        (5, -1, "can't refund -1 after 5: both must be 0 or more"),
    ],
)
def test_CAP_E2_no_more_than_what_was_captured(before: int, refund: int, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}"):
        give_back(PRO_RATA, "pro_rata", before, refund)


@pytest.mark.parametrize(
    ("allocation", "policy", "captured_after", "why"),
    [
        (PRO_RATA, "pro_rata", 471, "can't reduce to 471: the allocation holds 470"),
        (PRO_RATA, "bonus_first", -1, "can't reduce to -1: the allocation holds 470"),
        (PRO_RATA, "fifo", 1, "unknown draw-down policy 'fifo'; one of bonus_first,"),
        ([("lot_1", "points", 5)], "bonus_first", 1, "lot_1: unknown account 'points'"),
        ([("lot_1", "bonus", -5)], "bonus_first", 0, "lot_1: the allocation holds -5, below 0"),
    ],
)
def test_refused(allocation: Allocation, policy: str, captured_after: int, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}"):
        remaining_allocation(allocation, policy, captured_after)


def test_a_split_over_all_lots_would_take_money_on_a_refund() -> None:
    """The tempting variant; over the two accounts no share grows while the total shrinks."""
    amounts = [6, 6, 2]
    before, after = split(11, amounts), split(10, amounts)
    assert [b - a for b, a in zip(before, after, strict=True)] == [1, 1, -1]
    three_lots = [("lot_1", "principal", 6), ("lot_2", "principal", 6), ("lot_3", "bonus", 2)]
    for done in range(14):
        assert len(give_back(three_lots, "pro_rata", done, 1)) == 1


Slices = tuple[Allocation, list[int]]


def applied(allocation: Allocation, back: list[tuple[int, int]]) -> list[int]:
    amounts = [0] * len(allocation)
    for index, amount in back:
        amounts[index] += amount
    return amounts


def slicing_makes_no_difference(give_back: GiveBack, case: Slices, policy: str) -> None:
    allocation, slices = case
    done, sliced = 0, []
    for refund in slices:
        sliced += give_back(allocation, policy, done, refund)
        done += refund
    assert applied(allocation, sliced) == applied(
        allocation, give_back(allocation, policy, 0, done)
    )


def everything_refunded_is_the_allocation(give_back: GiveBack, case: Slices, policy: str) -> None:
    allocation, slices = case
    total = sum(amount for _lot, _account, amount in allocation)
    back, done = [], 0
    for refund in [*slices, total - sum(slices)]:
        back += give_back(allocation, policy, done, refund)
        done += refund
    assert applied(allocation, back) == [amount for _lot, _account, amount in allocation]


def each_step_is_the_refund_and_never_takes(give_back: GiveBack, case: Slices, policy: str) -> None:
    allocation, slices = case
    done = 0
    for refund in slices:
        back = give_back(allocation, policy, done, refund)
        assert sum(amount for _index, amount in back) == refund
        assert all(amount > 0 for _index, amount in back)
        assert [index for index, _amount in back] == sorted({i for i, _a in back}, reverse=True)
        done += refund


def accounts_keep_their_proportion(give_back: GiveBack, case: Slices) -> None:
    allocation, slices = case
    refund, total = sum(slices), sum(amount for _lot, _account, amount in allocation)
    back = applied(allocation, give_back(allocation, "pro_rata", 0, refund))
    for account in ACCOUNTS:
        taken = sum(amount for _lot, of, amount in allocation if of == account)
        entries = zip(allocation, back, strict=True)
        returned = sum(part for (_lot, of, _amount), part in entries if of == account)
        assert abs(2 * (returned * total - refund * taken)) <= total


def only_the_last_drawn_comes_back(give_back: GiveBack, case: Slices, policy: str) -> None:
    """Per account under pro_rata, over all entries otherwise: what is untouched lies in front."""
    allocation, slices = case
    back = applied(allocation, give_back(allocation, policy, 0, sum(slices)))
    pots = ACCOUNTS if policy == "pro_rata" else ("any",)
    for pot in pots:
        entries = [
            (amount - part, part)
            for (_lot, account, amount), part in zip(allocation, back, strict=True)
            if pot in (account, "any")
        ]
        touched = [i for i, (_kept, part) in enumerate(entries) if part]
        behind = entries[touched[0] + 1 :] if touched else []
        assert not any(kept for kept, _part in behind)


def a_refund_is_as_if_less_had_been_drawn(keep: Keep, lots: list[int], policy: str) -> None:
    sources = [Source(f"lot_{i}", ACCOUNTS[i % 2], n, None) for i, n in enumerate(lots)]
    total = sum(lots)
    allocation = [(s.lot_id, s.account, n) for s, n in draw(total, sources, policy)]
    less = {s.lot_id: n for s, n in draw(total // 3, sources, policy)}
    kept = keep(allocation, policy, total // 3)
    assert kept == [less.get(lot_id, 0) for lot_id, _account, _amount in allocation]


def each_refund_split_by_itself(
    allocation: Allocation, policy: str, refunded_before: int, refund: int
) -> list[tuple[int, int]]:
    parts = split(refund, [amount for _lot, _account, amount in allocation])
    return [(i, parts[i]) for i in reversed(range(len(parts))) if parts[i]]


def rounded_down(
    allocation: Allocation, policy: str, refunded_before: int, refund: int
) -> list[tuple[int, int]]:
    total = sum(amount for _lot, _account, amount in allocation)
    parts = [amount * refund // max(total, 1) for _lot, _account, amount in allocation]
    return [(i, parts[i]) for i in reversed(range(len(parts))) if parts[i]]


def first_drawn_first(
    allocation: Allocation, policy: str, refunded_before: int, refund: int
) -> list[tuple[int, int]]:
    last = len(allocation) - 1
    back = give_back(allocation[::-1], policy, refunded_before, refund)
    return [(last - index, amount) for index, amount in back]


def last_drawn_stays(allocation: Allocation, policy: str, captured_after: int) -> list[int]:
    return remaining_allocation(allocation[::-1], policy, captured_after)[::-1]


@st.composite
def sliced(pick: st.DrawFn) -> Slices:
    """An allocation of up to six lots and refunds that fit into it."""
    amount = st.integers(1, 9) | st.integers(1, AMOUNT_MAX)
    entries = pick(st.lists(st.tuples(st.sampled_from(ACCOUNTS), amount), max_size=6))
    allocation = [(f"lot_{i}", account, n) for i, (account, n) in enumerate(entries)]
    left, slices = sum(n for _account, n in entries), []
    for _ in range(pick(st.integers(1, 4))):
        slices.append(pick(st.integers(0, min(left, 9)) | st.integers(0, left)))
        left -= slices[-1]
    return allocation, slices


any_policy = st.sampled_from(POLICIES)
ordered_policy = st.sampled_from(["bonus_first", "principal_first"])
lots = st.lists(st.integers(1, 9) | st.integers(1, AMOUNT_MAX), max_size=6)
PROPERTIES = [
    Property(
        slicing_makes_no_difference,
        give_back,
        each_refund_split_by_itself,
        (sliced(), any_policy),
    ),
    Property(
        everything_refunded_is_the_allocation, give_back, rounded_down, (sliced(), any_policy)
    ),
    Property(
        each_step_is_the_refund_and_never_takes,
        give_back,
        rounded_down,
        (sliced(), any_policy),
    ),
    Property(accounts_keep_their_proportion, give_back, rounded_down, (sliced(),)),
    Property(only_the_last_drawn_comes_back, give_back, first_drawn_first, (sliced(), any_policy)),
    Property(
        a_refund_is_as_if_less_had_been_drawn,
        remaining_allocation,
        last_drawn_stays,
        (lots, ordered_policy),
    ),
]


@each(PROPERTIES)
def test_property_holds(prop: Property) -> None:
    prop.holds()


@each(PROPERTIES)
def test_property_rejects_a_wrong_variant(prop: Property) -> None:
    prop.rejects_the_wrong()
