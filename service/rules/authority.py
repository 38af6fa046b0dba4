"""Which requests need a second person, by a merchant's own rules. Pure (CAP-A3, THREAT-T10)."""

from collections.abc import Iterable, Iterator, Sequence

from schemas.approvals import ApprovalKind, AuthorityRule, Decider
from schemas.problems import Reason
from service.kernel.problems import because, define_reason

MONEY_KINDS = frozenset(("refund", "reversal", "void"))
# Whoever makes rules isn't above them: once there are any, another one of these must agree to
# other rules, and to whatever makes somebody one who decides.
FLOOR: tuple[Decider, ...] = ("owner", "checker")

ONE_LIMIT = define_reason("one_limit", "A rule has one limit at most. Make two rules of it.")
LIMIT_UNFIT = define_reason(
    "limit_unfit", "Only `refund`, `reversal` and `void` have amounts and are counted by the day."
)
RULE_REPEATED = define_reason("rule_repeated", "Another rule says the same, or contradicts it.")


def asked(
    rules: Sequence[AuthorityRule],
    kind: ApprovalKind,
    amount: int = 0,
    day: tuple[int, int] = (0, 0),
    *,
    makes_decider: bool = False,
) -> AuthorityRule | None:
    """The rule a request falls under; None: nobody else need agree.

    `day` is what the employee did before of this kind on the business day: amount and count.
    `makes_decider`: somebody could approve by it what they could not before.
    """
    found = [
        rule
        for rule in rules
        if rule.kind == kind and _applies(rule, amount, day[0] + amount, day[1] + 1)
    ]
    rule = max(found, key=_strictness, default=None)
    if rules and (makes_decider or kind == "authority.change"):
        return AuthorityRule(kind, list(FLOOR), rule.approvers if rule else 1)
    return rule


def _strictness(rule: AuthorityRule) -> tuple[int, int]:
    """More people before fewer; of as many, those who are there for the larger amounts."""
    return rule.approvers, rule.amount_above or rule.day_amount_above or 0


def by_day(rules: Iterable[AuthorityRule], kind: str) -> bool:
    """Whether what somebody did before on the day matters."""
    return any(
        rule.kind == kind and not (rule.day_amount_above is None and rule.day_count_above is None)
        for rule in rules
    )


def unsound(rules: Iterable[AuthorityRule]) -> Iterator[Reason]:
    """What no schema can express."""
    seen = set()
    for place, rule in enumerate(rules):
        limits = (rule.amount_above, rule.day_amount_above, rule.day_count_above)
        if sum(limit is not None for limit in limits) > 1:
            yield because(ONE_LIMIT, path=f"$.rules[{place}]")
        if any(limit is not None for limit in limits) and rule.kind not in MONEY_KINDS:
            yield because(LIMIT_UNFIT, path=f"$.rules[{place}].kind", allowed=sorted(MONEY_KINDS))
        if (rule.kind, *limits) in seen:
            yield because(RULE_REPEATED, path=f"$.rules[{place}]")
        seen.add((rule.kind, *limits))


def _applies(rule: AuthorityRule, amount: int, day_amount: int, day_count: int) -> bool:
    if rule.amount_above is not None:
        return amount > rule.amount_above
    if rule.day_amount_above is not None:
        return day_amount > rule.day_amount_above
    if rule.day_count_above is not None:
        return day_count > rule.day_count_above
    return True
