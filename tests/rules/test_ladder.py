"""充300送50: the highest step reached, once."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import strategies as st

from service.kernel.money import AMOUNT_MAX
from service.rules.ladder import Step, bonus_for, check
from tests.rules.properties import Property, each

LADDER = [Step(30_000, 5_000, "P1Y"), Step(50_000, 10_000, None), Step(100_000, 25_000, "P6M")]


@pytest.mark.parametrize(
    ("amount", "step"),
    [
        (29_999, None),
        (30_000, LADDER[0]),
        (49_999, LADDER[0]),
        (50_000, LADDER[1]),
        (60_000, LADDER[1]),  # not twice the first
        (999_999, LADDER[2]),
    ],
)
def test_CAP_C2_bonus_ladder(amount: int, step: Step | None) -> None:
    assert bonus_for(amount, LADDER) == step
    assert bonus_for(amount, LADDER[::-1]) == step


def test_CAP_C2_no_ladder_no_bonus() -> None:
    assert bonus_for(30_000, []) is None
    assert check([]) == []


def test_a_sound_ladder_has_no_problems() -> None:
    assert check(LADDER) == []
    assert check([Step(1, 1, None), Step(AMOUNT_MAX, AMOUNT_MAX, "P100Y")]) == []


@pytest.mark.parametrize(
    ("steps", "problems"),
    [
        ([Step(0, 50, None)], [f"step 1: pay is 0, give 1 to {AMOUNT_MAX}"]),
        ([Step(300, 0, None)], [f"step 1: bonus is 0, give 1 to {AMOUNT_MAX}"]),
        ([Step(300, -5, None)], [f"step 1: bonus is -5, give 1 to {AMOUNT_MAX}"]),
        (
            [Step(AMOUNT_MAX + 1, 50, None)],
            [f"step 1: pay is {AMOUNT_MAX + 1}, give 1 to {AMOUNT_MAX}"],
        ),
        (
            [Step(300, 50, None), Step(300, 60, None)],
            ["step 2: pay is 300, give more than the 300 of the step before"],
        ),
        (
            [Step(500, 50, None), Step(600, 60, None), Step(300, 60, None)],
            ["step 3: pay is 300, give more than the 600 of the step before"],
        ),
        (
            [Step(300, 50, "P0D")],
            [
                "step 1: bonus_validity 'P0D' has no length: a period is at least one day, as P1D",
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_ladder(steps: list[Step], problems: list[str]) -> None:
    assert check(steps) == problems


def test_every_problem_at_once() -> None:
    assert len(check([Step(300, 0, "1Y"), Step(-1, 50, None)])) == 4


def earns_the_highest_step_reached(
    bonus_for: Callable[[int, Sequence[Step]], Step | None], amount: int, pays: set[int]
) -> None:
    steps = [Step(pay, pay // 10 + 1, None) for pay in sorted(pays)]
    step = bonus_for(amount, steps)
    beyond = [other for other in steps if other.pay > (step.pay if step else 0)]
    assert step is None or step.pay <= amount
    assert all(other.pay > amount for other in beyond)


def the_first_reached(amount: int, steps: Sequence[Step]) -> Step | None:
    return next((step for step in steps if step.pay <= amount), None)


PROPERTIES = [
    Property(
        earns_the_highest_step_reached,
        bonus_for,
        the_first_reached,
        (st.integers(1, 1000), st.sets(st.integers(1, 1000), max_size=6)),
    )
]


@each(PROPERTIES)
def test_property_holds(prop: Property) -> None:
    prop.holds()


@each(PROPERTIES)
def test_property_rejects_a_wrong_variant(prop: Property) -> None:
    prop.rejects_the_wrong()
