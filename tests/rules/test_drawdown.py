"""Which lots pay: policies between the accounts, nearest expiry inside one."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import strategies as st

from schemas.common import Account
from service.kernel.money import AMOUNT_MAX
from service.rules.drawdown import POLICIES, Source, draw, order
from tests.rules.properties import Property, each

ACCOUNTS: tuple[Account, Account] = ("principal", "bonus")
Drawn = list[tuple[Source, int]]
Draw = Callable[[int, Sequence[Source], str], Drawn]

MAY, JUNE = datetime(2027, 5, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC)
# Paid 300.00 with 50.00 gifted in May's lot, paid 100.00 with 20.00 gifted in June's.
PAID_1 = Source("lot_01", "principal", 30_000, None)
GIFT_1 = Source("lot_02", "bonus", 5_000, JUNE)
PAID_2 = Source("lot_03", "principal", 10_000, None)
GIFT_2 = Source("lot_04", "bonus", 2_000, MAY)
CARD = [PAID_1, GIFT_1, PAID_2, GIFT_2]
POINTS = PAID_1._replace(account="points")  # type: ignore[arg-type]


def brief(drawn: Drawn) -> list[tuple[str, int]]:
    return [(source.lot_id, amount) for source, amount in drawn]


@pytest.mark.parametrize(
    ("policy", "amount", "drawn"),
    [
        ("bonus_first", 0, []),
        ("bonus_first", 1_500, [("lot_04", 1_500)]),
        ("bonus_first", 2_000, [("lot_04", 2_000)]),
        ("bonus_first", 2_001, [("lot_04", 2_000), ("lot_02", 1)]),
        ("bonus_first", 8_000, [("lot_04", 2_000), ("lot_02", 5_000), ("lot_01", 1_000)]),
        ("principal_first", 30_001, [("lot_01", 30_000), ("lot_03", 1)]),
        (
            "principal_first",
            41_000,
            [("lot_01", 30_000), ("lot_03", 10_000), ("lot_04", 1_000)],
        ),
        # 40 000 : 7 000, so 4 700 is 4 000 + 700 and 1 is all principal
        ("pro_rata", 4_700, [("lot_01", 4_000), ("lot_04", 700)]),
        ("pro_rata", 1, [("lot_01", 1)]),
        ("pro_rata", 4, [("lot_01", 3), ("lot_04", 1)]),
        (
            "pro_rata",
            47_000,
            [("lot_01", 30_000), ("lot_03", 10_000), ("lot_04", 2_000), ("lot_02", 5_000)],
        ),
    ],
)
def test_CAP_C4_draw_down_order(policy: str, amount: int, drawn: list[tuple[str, int]]) -> None:
    assert brief(draw(amount, CARD, policy)) == drawn
    assert brief(draw(amount, CARD[::-1], policy)) == drawn


def test_CAP_C4_a_tie_between_the_accounts_goes_to_principal() -> None:
    even = [Source("lot_1", "bonus", 5, None), Source("lot_2", "principal", 5, None)]
    assert brief(draw(3, even, "pro_rata")) == [("lot_2", 2), ("lot_1", 1)]


def test_CAP_C5_nearest_expiry_first_then_the_oldest_lot() -> None:
    lots = [
        Source("lot_5", "bonus", 1, None),
        Source("lot_4", "bonus", 1, JUNE),
        Source("lot_3", "bonus", 1, JUNE),
        Source("lot_2", "bonus", 1, MAY),
        Source("lot_1", "bonus", 1, None),
    ]
    ordered = ["lot_2", "lot_3", "lot_4", "lot_1", "lot_5"]
    assert [lot.lot_id for lot in order(lots)] == ordered


def test_empty_lots_are_passed_over() -> None:
    lots = [PAID_1._replace(remaining=0, expires_at=MAY), PAID_2]
    assert brief(draw(5, lots, "principal_first")) == [("lot_03", 5)]
    assert draw(0, [], "pro_rata") == []


@pytest.mark.parametrize(
    ("amount", "sources", "policy", "why"),
    [
        (47_001, CARD, "bonus_first", "can't draw 47001: the lots hold 47000"),
        (47_001, CARD, "pro_rata", "can't draw 47001: the lots hold 47000"),
        (-1, CARD, "bonus_first", "can't draw -1"),
        (1, [], "bonus_first", "can't draw 1: the lots hold 0"),
        (1, CARD, "fifo", "unknown draw-down policy 'fifo'; one of bonus_first, principal_first,"),
        (1, [POINTS], "pro_rata", "lot_01: unknown account 'points'"),
        (1, [PAID_1, GIFT_1._replace(remaining=-1)], "pro_rata", "lot_02: remaining is -1, below"),
    ],
)
def test_refused(amount: int, sources: list[Source], policy: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}"):
        draw(amount, sources, policy)


def totals_of(sources: Sequence[Source]) -> dict[str, int]:
    return {a: sum(s.remaining for s in sources if s.account == a) for a in ACCOUNTS}


def paid_by(drawn: Drawn) -> dict[str, int]:
    return {a: sum(amount for source, amount in drawn if source.account == a) for a in ACCOUNTS}


Case = tuple[int, list[Source]]


def takes_the_amount_out_of_what_is_there(draw: Draw, case: Case, policy: str) -> None:
    amount, sources = case
    drawn = draw(amount, sources, policy)
    assert sum(part for _source, part in drawn) == amount
    assert all(0 < part <= source.remaining for source, part in drawn)
    assert len({source.lot_id for source, _part in drawn}) == len(drawn)


def empties_the_preferred_account_first(draw: Draw, case: Case, policy: str) -> None:
    amount, sources = case
    preferred = policy.removesuffix("_first")
    drawn = draw(amount, sources, policy)
    assert paid_by(drawn)[preferred] == min(amount, totals_of(sources)[preferred])
    accounts = [source.account for source, _part in drawn]
    assert accounts == sorted(accounts, key=lambda account: account != preferred)


def pro_rata_is_the_nearest_whole_share_and_within_the_account(draw: Draw, case: Case) -> None:
    amount, sources = case
    totals, paid = totals_of(sources), paid_by(draw(amount, sources, "pro_rata"))
    both = sum(totals.values())
    for account in ACCOUNTS:
        assert 0 <= paid[account] <= totals[account]
        assert abs(2 * (paid[account] * both - amount * totals[account])) <= both


def uses_up_a_lot_before_the_next(draw: Draw, case: Case, policy: str) -> None:
    amount, sources = case
    drawn = draw(amount, sources, policy)
    for account in ACCOUNTS:
        entries = [entry for entry in drawn if entry[0].account == account]
        assert all(source.remaining == part for source, part in entries[:-1])
        queue = [s for s in sources if s.account == account and s.remaining]
        queue.sort(key=lambda s: (s.expires_at is None, s.expires_at or MAY, s.lot_id))
        assert [source for source, _part in entries] == queue[: len(entries)]


def does_not_depend_on_the_order_of_reading(draw: Draw, case: Case, policy: str) -> None:
    amount, sources = case
    assert draw(amount, sources, policy) == draw(amount, sources[::-1], policy)


def uncapped(amount: int, sources: Sequence[Source], policy: str) -> Drawn:
    return [(sources[0], amount)] if sources and amount else []


def other_account_first(amount: int, sources: Sequence[Source], policy: str) -> Drawn:
    swapped = {"bonus_first": "principal_first", "principal_first": "bonus_first"}
    return draw(amount, sources, swapped[policy])


def principal_rounded_down(amount: int, sources: Sequence[Source], policy: str) -> Drawn:
    totals = totals_of(sources)
    principal = amount * totals["principal"] // max(sum(totals.values()), 1)
    shares = {"principal": principal, "bonus": amount - principal}
    taken = []
    for source in sources:
        part = min(source.remaining, shares[source.account])
        shares[source.account] -= part
        taken.append((source, part))
    return taken


def never_lapsing_first(amount: int, sources: Sequence[Source], policy: str) -> Drawn:
    flipped = {None: MAY, MAY: JUNE, JUNE: None}
    by_id = {source.lot_id: source for source in sources}
    fakes = [source._replace(expires_at=flipped[source.expires_at]) for source in sources]
    return [(by_id[fake.lot_id], part) for fake, part in draw(amount, fakes, policy)]


def as_they_come(amount: int, sources: Sequence[Source], policy: str) -> Drawn:
    taken = []
    for source in sources:
        part = min(amount, source.remaining)
        amount -= part
        taken.append((source, part))
    return [(source, part) for source, part in taken if part]


@st.composite
def cases(pick: st.DrawFn) -> Case:
    """Up to eight lots in any order with equal and missing expiries, and an amount they can pay."""
    lots = pick(
        st.lists(
            st.tuples(
                st.sampled_from(ACCOUNTS),
                st.integers(0, 9) | st.integers(0, AMOUNT_MAX),
                st.sampled_from([None, MAY, JUNE]),
            ),
            max_size=8,
        )
    )
    sources = [Source(f"lot_{i}", *lot) for i, lot in enumerate(lots)]
    sources = pick(st.permutations(sources))
    return pick(st.integers(0, sum(source.remaining for source in sources))), sources


any_policy = st.sampled_from(POLICIES)
ordered_policy = st.sampled_from(["bonus_first", "principal_first"])
PROPERTIES = [
    Property(takes_the_amount_out_of_what_is_there, draw, uncapped, (cases(), any_policy)),
    Property(
        empties_the_preferred_account_first, draw, other_account_first, (cases(), ordered_policy)
    ),
    Property(
        pro_rata_is_the_nearest_whole_share_and_within_the_account,
        draw,
        principal_rounded_down,
        (cases(),),
    ),
    Property(uses_up_a_lot_before_the_next, draw, never_lapsing_first, (cases(), any_policy)),
    Property(does_not_depend_on_the_order_of_reading, draw, as_they_come, (cases(), any_policy)),
]


@each(PROPERTIES)
def test_property_holds(prop: Property) -> None:
    prop.holds()


@each(PROPERTIES)
def test_property_rejects_a_wrong_variant(prop: Property) -> None:
    prop.rejects_the_wrong()
