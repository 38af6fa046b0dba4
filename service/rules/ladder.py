"""The bonus ladder of a top-up, 充300送50 (CAP-C2)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from service.kernel.money import AMOUNT_MAX
from service.rules.periods import parse


class Step(NamedTuple):
    """Whoever pays `pay` or more gets `bonus` once; both in minor units."""

    pay: int
    bonus: int
    bonus_validity: str | None
    """ISO 8601 period from the top-up (see periods.parse); None: the bonus never lapses."""


def bonus_for(amount: int, steps: Sequence[Step]) -> Step | None:
    """The one step a top-up of `amount` minor units earns: the highest it reaches, or None.

    It applies once, however many times over its `pay` is reached.
    """
    reached = [step for step in steps if step.pay <= amount]
    return max(reached, key=lambda step: step.pay, default=None)


def check(steps: Sequence[Step]) -> list[str]:
    """Everything wrong with a ladder, each with how to mend it; empty when it may be published."""
    problems: list[str] = []
    for number, step in enumerate(steps, 1):
        for name, amount in (("pay", step.pay), ("bonus", step.bonus)):
            if not 1 <= amount <= AMOUNT_MAX:
                problems.append(f"step {number}: {name} is {amount}, give 1 to {AMOUNT_MAX}")
        if step.bonus_validity is not None:
            try:
                parse(step.bonus_validity)
            except ValueError as fault:
                problems.append(f"step {number}: bonus_validity {fault}")
    problems += [
        f"step {number}: pay is {higher.pay}, give more than the {lower.pay} of the step before"
        for number, (lower, higher) in enumerate(pairwise(steps), 2)
        if higher.pay <= lower.pay
    ]
    return problems
