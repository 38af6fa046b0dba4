"""What holds at a place, by what is said from headquarters down to it. S3-16."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.policies import Limit, LimitInForce, PolicyRules, Switch, SwitchInForce
from service.rules import policies
from service.rules.policies import OPEN, in_force, locked, refusals

ON, OFF = Switch(value=True), Switch(value=False)
HELD_ON, HELD_OFF = Switch(value=True, locked=True), Switch(value=False, locked=True)
PLACES = ("headquarters", "area", "store")

CASES: list[tuple[str, tuple[Switch | None, ...], tuple[bool, str | None, bool]]] = [
    ("nobody says anything", (None, None, None), (True, None, False)),
    ("headquarters says", (OFF, None, None), (False, "headquarters", False)),
    ("the nearest says", (OFF, ON, None), (True, "area", False)),
    ("the store itself says", (ON, ON, OFF), (False, "store", False)),
    ("headquarters holds it", (HELD_OFF, ON, ON), (False, "headquarters", True)),
    ("the area holds it", (ON, HELD_OFF, ON), (False, "area", True)),
    ("the first who holds it", (HELD_ON, HELD_OFF, OFF), (True, "headquarters", True)),
    ("held by itself", (ON, None, HELD_OFF), (False, "store", True)),
]

RULES = st.builds(
    PolicyRules,
    redemptions=st.none() | st.builds(Switch, st.booleans(), st.booleans()),
    redemption_max=st.none() | st.builds(Limit, st.none() | st.integers(1, 9), st.booleans()),
)
PATHS = st.lists(RULES, max_size=5).map(lambda said: [(f"n{n}", one) for n, one in enumerate(said)])


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_the_nearest_says_it_unless_it_is_held_above(case: Any) -> None:
    _, said, holds = case
    path = [(place, PolicyRules(redemptions=one)) for place, one in zip(PLACES, said, strict=True)]
    assert in_force(path).redemptions == SwitchInForce(*holds)
    assert in_force(path).top_ups == SwitchInForce()


def test_no_limit_is_said_too() -> None:
    path = [
        ("headquarters", PolicyRules(top_up_max=Limit(100))),
        ("store", PolicyRules(top_up_max=Limit(None))),
    ]
    assert in_force(path).top_up_max == LimitInForce(None, "store", False)


@given(PATHS)
def test_whoever_holds_it_is_first_and_else_the_last_says_it(path: policies.Path) -> None:
    for name in policies.NAMES:
        said = [(node, getattr(rules, name)) for node, rules in path if getattr(rules, name)]
        held = [one for one in said if one[1].locked]
        by = held[0] if held else said[-1] if said else None
        now = getattr(in_force(path), name)
        assert (now.node_id, now.locked) == ((by[0], by[1].locked) if by else (None, False))
        assert by is None or now.value == by[1].value


@given(PATHS, RULES)
def test_what_can_be_said_holds_and_what_cant_be_is_without_effect(
    above: policies.Path, rules: PolicyRules
) -> None:
    assert not list(locked(above, rules, rules))  # what stays as it is
    refused = {reason.path: reason.existing_id for reason in locked(above, PolicyRules(), rules)}
    now = in_force([*above, ("here", rules)])
    for name in policies.NAMES:
        said, holds = getattr(rules, name), getattr(now, name)
        if said is None:
            assert f"$.rules.{name}" not in refused
            assert holds == getattr(in_force(above), name)
        elif f"$.rules.{name}" in refused:
            assert holds.node_id == refused[f"$.rules.{name}"]
        else:
            assert (holds.value, holds.node_id) == (said.value, "here")


def test_what_a_store_does_not_do() -> None:
    def codes(kind: policies.Kind, amount: int, **said: Any) -> list[tuple[str, int | None]]:
        policy = in_force([("store", PolicyRules(**said))])
        return [(one.code, one.missing_minor) for one in refusals(policy, kind, amount)]

    assert codes("redemption", 100, redemptions=OFF) == [("store_switched_off", None)]
    assert codes("top_up", 100, redemptions=OFF) == []
    assert codes("issue", 0, issues=OFF) == [("store_switched_off", None)]
    assert codes("redemption", 100, redemption_max=Limit(100)) == []
    assert codes("redemption", 101, redemption_max=Limit(100)) == [("store_limit_exceeded", 1)]
    assert codes("redemption", 101, top_up_max=Limit(100)) == []
    assert codes("top_up", 150, top_ups=OFF, top_up_max=Limit(100)) == [
        ("store_switched_off", None),
        ("store_limit_exceeded", 50),
    ]
    assert refusals(OPEN, "redemption", 10**9) == []
