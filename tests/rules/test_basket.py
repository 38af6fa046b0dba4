"""The lines of a redemption."""

import pytest

from service.rules.basket import Line, check

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
