"""Which requests need a second person. CAP-A3, THREAT-T10."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from schemas.approvals import AuthorityRule, Decider
from service.kernel.permissions import ROLES
from service.rules import authority
from service.rules.authority import asked

BIG = AuthorityRule("refund", ["store_manager"], amount_above=50_000)
HUGE = AuthorityRule("refund", ["finance"], approvers=2, amount_above=500_000)
DAY = AuthorityRule("refund", ["store_manager"], day_amount_above=100_000)
OFTEN = AuthorityRule("refund", ["store_manager"], day_count_above=3)
RULES = [BIG, HUGE, DAY, OFTEN]

CASES = [
    ("at the limit", 50_000, (0, 0), None),
    ("above it", 50_001, (0, 0), BIG),
    ("at the higher limit", 500_000, (0, 0), DAY),
    ("above the higher limit", 500_001, (0, 0), HUGE),
    ("the day at its limit", 40_000, (60_000, 1), None),
    ("the day above it", 40_000, (60_001, 1), DAY),
    ("the last time of the day", 100, (300, 2), None),
    ("once too often", 100, (300, 3), OFTEN),
    ("nothing that is left", 0, (0, 0), None),
]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_the_rule_that_wants_most_decides(
    case: tuple[str, int, tuple[int, int], AuthorityRule | None],
) -> None:
    _, amount, day, rule = case
    assert asked(RULES, "refund", amount, day) == rule


def test_a_rule_is_for_its_kind_alone() -> None:
    assert asked(RULES, "void", 10**9, (10**9, 99)) is None
    always = AuthorityRule("template.publish", ["checker"])
    assert asked([always], "template.publish") == always
    assert asked([always], "role.grant") is None


def test_whoever_makes_rules_is_not_above_them() -> None:
    assert asked([], "authority.change") is None
    floor = AuthorityRule("authority.change", ["owner", "checker"])
    assert asked([BIG], "authority.change") == floor
    stricter = AuthorityRule("authority.change", ["finance"], approvers=2)
    assert asked([stricter], "authority.change") == structs.replace(floor, approvers=2)


def test_nobody_makes_themselves_a_second_person() -> None:
    """Once there are rules, whatever makes somebody one who decides needs another one, too."""
    assert asked([], "user.reset", makes_decider=True) is None
    assert asked([BIG], "user.reset") is None
    for kind in ("role.grant", "user.reset", "user.enable"):
        found = asked([BIG], kind, makes_decider=True)
        assert found == AuthorityRule(kind, ["owner", "checker"])


def test_of_rules_for_as_many_people_the_one_for_more_money_decides() -> None:
    dear = AuthorityRule("refund", ["finance"], amount_above=500_000)
    assert asked([BIG, dear], "refund", 600_000) == asked([dear, BIG], "refund", 600_000) == dear


def test_rules_name_the_roles_that_may_decide() -> None:
    deciding = {name for name, role in ROLES.items() if "approvals:decide" in role.permissions}
    assert set(get_args(Decider)) == deciding


def test_only_limits_of_a_day_ask_for_the_day() -> None:
    assert authority.by_day([DAY], "refund")
    assert authority.by_day([OFTEN], "refund")
    assert not authority.by_day([BIG], "refund")
    assert not authority.by_day([DAY], "void")


def test_what_contradicts_itself_is_told_all_at_once() -> None:
    both = AuthorityRule("refund", ["owner"], amount_above=1, day_count_above=1)
    unfit = AuthorityRule("role.grant", ["owner"], amount_above=1)
    found = [(reason.code, reason.path) for reason in authority.unsound([both, unfit, BIG, BIG])]
    assert found == [
        ("one_limit", "$.rules[0]"),
        ("limit_unfit", "$.rules[1].kind"),
        ("rule_repeated", "$.rules[3]"),
    ]


limits = st.none() | st.integers(0, 1_000)
rules = st.lists(
    st.builds(
        AuthorityRule,
        st.just("refund"),
        st.just(["owner"]),
        approvers=st.integers(1, 3),
        amount_above=limits,
    ),
    max_size=5,
)


def _wanted(rules: list[AuthorityRule], amount: int, day: tuple[int, int]) -> int:
    rule = asked(rules, "refund", amount, day)
    return rule.approvers if rule else 0


@given(rules, st.integers(0, 1_000), st.integers(0, 1_000))
def test_more_money_never_wants_fewer_people(
    made: list[AuthorityRule], amount: int, more: int
) -> None:
    assert _wanted(made, amount + more, (0, 0)) >= _wanted(made, amount, (0, 0))


@given(st.integers(0, 1_000), st.integers(0, 1_000), st.integers(1, 9))
def test_splitting_a_refund_escapes_no_limit_of_a_day(amount: int, limit: int, parts: int) -> None:
    """What one refund would need, the last of several smaller ones needs, too."""
    of_day = [AuthorityRule("refund", ["owner"], day_amount_above=limit)]
    at_once = asked(of_day, "refund", amount, (0, 0))
    each, before = divmod(amount, parts), 0
    found = None
    for part in range(parts):
        value = each[0] + (each[1] if part == 0 else 0)
        found = asked(of_day, "refund", value, (before, part))
        before += value
    assert (found is None) == (at_once is None)
