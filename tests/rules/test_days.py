"""Days that close: the date of a sale, lines added up, and what a second closing adds."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.days import DayLine
from service.rules import days

FRIDAY = date(2026, 2, 27)
NAMES = st.sampled_from([None, "T1", "T2"])
LINES = st.lists(
    st.builds(
        DayLine,
        NAMES,
        NAMES,
        NAMES,
        st.sampled_from(["top_up", "redeem", "refund"]),
        st.sampled_from([None, "redeem"]),
        st.sampled_from([None, "cash"]),
        st.booleans(),
        st.integers(1, 9),
        st.integers(0, 10_000),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    ("closed_through", "days_later"),
    [(None, 0), (FRIDAY - timedelta(days=1), 0), (FRIDAY, 1), (FRIDAY + timedelta(days=2), 3)],
)
def test_a_sale_is_of_the_first_open_day(closed_through: date | None, days_later: int) -> None:
    assert days.open_date(FRIDAY, closed_through) == FRIDAY + timedelta(days=days_later)


@given(LINES)
def test_lines_by_anything_add_up_to_the_day(lines: list[DayLine]) -> None:
    whole = days.rolled_up(lines, "store")
    assert not any(line.terminal_id or line.operator or line.shift for line in whole)
    assert sum(line.amount for line in whole) == sum(line.amount for line in lines)
    for by in ("terminal", "operator", "shift"):
        parts = days.rolled_up(lines, by)
        assert days.rolled_up(parts, "store") == whole
        kinds = {replace(part, operations=0, amount=0) for part in parts}
        assert len(kinds) == len(parts), "two lines of one kind"


@given(LINES, LINES)
def test_corrections_are_what_came_on_top(booked: list[DayLine], later: list[DayLine]) -> None:
    corrections = days.added([*booked, *later], booked)
    assert days.rolled_up([*booked, *corrections], "shift") == days.rolled_up(
        [*booked, *later], "shift"
    )
    assert days.added(booked, booked) == []
    assert all(line.operations > 0 for line in corrections)
