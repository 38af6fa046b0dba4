"""The lines of a redemption and refunds that name them."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import strategies as st

from service.rules.basket import Line, check, line_refund
from tests.rules.properties import Property, each

CUT = Line("1", "CUT", 1, 9_800, 1_000, 0, 8_800)
DYE = Line("2", "DYE", 2, 5_000, 0, 600, 10_600)
BAD_SUM = "line 1: total is {}, but quantity x list_price - discount + tax is {}"


@pytest.mark.parametrize(
    ("lines", "amount"),
    [
        ([], 18_800),
        ([CUT], 8_800),
        ([CUT, DYE], 19_400),
        ([CUT, DYE], 1),  # other tenders pay the rest
        ([CUT._replace(discount=9_800, total=0)], 0),
    ],
)
def test_sound_lines(lines: list[Line], amount: int) -> None:
    assert check(lines, amount) == []


@pytest.mark.parametrize(
    ("lines", "amount", "problems"),
    [
        ([CUT._replace(total=8_801)], 1, [BAD_SUM.format(8_801, 8_800)]),
        ([CUT._replace(tax=5)], 1, [BAD_SUM.format(8_800, 8_805)]),
        ([CUT._replace(quantity=2)], 1, [BAD_SUM.format(8_800, 18_600)]),
        ([CUT], 8_801, ["amount is 8801, but the lines only cost 8800"]),
        (
            [CUT, DYE._replace(line_id="1")],
            1,
            ["line 1: the id comes twice, give each line its own"],
        ),
        (
            [CUT._replace(quantity=0, discount=0, total=0)],
            0,
            ["line 1: quantity is 0, give 1 or more"],
        ),
        (
            [CUT._replace(list_price=-5, discount=-5, total=0)],
            0,
            ["line 1: list_price is -5, give 0 or more", "line 1: discount is -5, give 0 or more"],
        ),
        ([CUT._replace(tax=-1, total=8_799)], 1, ["line 1: tax is -1, give 0 or more"]),
        (
            [DYE, CUT._replace(discount=9_900, total=-100)],
            1,
            ["line 1: total is -100, give 0 or more"],
        ),
    ],
)
def test_what_is_wrong_with_the_lines(lines: list[Line], amount: int, problems: list[str]) -> None:
    assert check(lines, amount) == problems


def test_every_problem_at_once() -> None:
    twin = CUT._replace(quantity=0, tax=-1)
    assert len(check([CUT, twin], 99_999)) == 5


@pytest.mark.parametrize(
    ("refunded", "asked", "problems"),
    [
        ({}, {}, []),
        ({}, {"1": 8_800, "2": 1}, []),
        ({"1": 8_000}, {"1": 800}, []),
        ({"1": 8_000}, {"1": 801}, ["line 1: 801 asked, 800 is left to refund"]),
        ({"1": 8_800}, {"1": 1}, ["line 1: 1 asked, 0 is left to refund"]),
        ({"2": 5}, {"1": 8_801}, ["line 1: 8801 asked, 8800 is left to refund"]),
        ({}, {"1": 0}, ["line 1: 0 asked, give 1 or more"]),
        ({}, {"1": -5}, ["line 1: -5 asked, give 1 or more"]),
        (
            {},
            {"9": 5, "2": 10_601},
            [
                "line 9: the redemption has no such line",
                "line 2: 10601 asked, 10600 is left to refund",
            ],
        ),
    ],
)
def test_CAP_E2_a_refund_that_names_lines(
    refunded: dict[str, int], asked: dict[str, int], problems: list[str]
) -> None:
    assert line_refund([CUT, DYE], refunded, asked) == problems


def no_line_goes_back_twice(
    line_refund: Callable[[Sequence[Line], Mapping[str, int], Mapping[str, int]], list[str]],
    asked: list[tuple[str, int]],
) -> None:
    lines = [Line(name, "CUT", 1, total, 0, 0, total) for name, total in (("1", 9), ("2", 4))]
    refunded: dict[str, int] = {}
    for line_id, amount in asked:
        if not line_refund(lines, refunded, {line_id: amount}):
            refunded[line_id] = refunded.get(line_id, 0) + amount
            assert amount > 0
    assert all(refunded.get(line.line_id, 0) <= line.total for line in lines)
    assert refunded.keys() <= {"1", "2"}


def forgets_earlier_refunds(
    lines: Sequence[Line], refunded_lines: Mapping[str, int], asked: Mapping[str, int]
) -> list[str]:
    return line_refund(lines, {}, asked)


PROPERTIES = [
    Property(
        no_line_goes_back_twice,
        line_refund,
        forgets_earlier_refunds,
        (st.lists(st.tuples(st.sampled_from(["1", "2", "3"]), st.integers(-2, 9)), max_size=12),),
    )
]


@each(PROPERTIES)
def test_property_holds(prop: Property) -> None:
    prop.holds()


@each(PROPERTIES)
def test_property_rejects_a_wrong_variant(prop: Property) -> None:
    prop.rejects_the_wrong()
