"""Random lives of cards through the pure decision: whatever happens, no value is made or lost.

`KAFANG_HYPOTHESIS_EXAMPLES` sets how many lives are lived; `make soak` asks for 10,000. Each
negative control breaks one part of the decision and must be caught.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from schemas.redemptions import Line
from service.ledger import quotes
from service.ledger.commands import (
    Activate,
    Freeze,
    Issue,
    Redeem,
    Refund,
    Reverse,
    TopUp,
    Unfreeze,
    Void,
)
from service.ledger.decide import decide
from service.ledger.decisions import cards, redemptions, refunds, reversals, top_ups
from service.ledger.decisions.outcome import Accepted, Refused
from service.ledger.state import Card, Change, View
from service.rules.drawdown import POLICIES, Source
from service.rules.drawdown import draw as true_draw
from service.rules.giveback import Allocation
from service.rules.giveback import give_back as true_give_back
from tests.ledger import pure
from tests.ledger.decide_world import ACCOUNTS, STORES, World

EXAMPLES = int(os.environ.get("KAFANG_HYPOTHESIS_EXAMPLES", "300"))
STEPS_MAX = 30
LADDER = [
    {"pay": 100, "bonus": 17, "bonus_validity": "P1M"},
    {"pay": 300, "bonus": 100, "bonus_validity": "P90D"},
    {"pay": 500, "bonus": 1},
]
TEMPLATES = {
    f"tpl_{policy}_{validity}": pure.template(
        f"tpl_{policy}_{validity}",
        drawdown_policy=policy,
        max_balance=2_000,
        top_up_rules=LADDER,
        validity={"type": "after_activation", "period": validity} if validity else None,
        stores={"mode": "exclude", "ids": [pure.FOREIGN_STORE]},
    )
    for policy in POLICIES
    for validity in (None, "P6M")
}
index = st.integers(0, 30)
amounts = st.integers(1, 700)
# Mostly the open store: a refusal teaches less than a movement.
stores = st.sampled_from([pure.STORE] * 8 + list(STORES))
pauses = st.sampled_from(
    [
        timedelta(seconds=1),
        timedelta(hours=20),
        timedelta(days=29),
        timedelta(days=40),
        timedelta(days=100),
    ]
)


class Lives(RuleBasedStateMachine):
    """Every movement, in any order, with time passing."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(TEMPLATES)
        self.requests = 0

    def number(self, which: int) -> str:
        """One of the cards."""
        return list(self.world.cards)[which % len(self.world.cards)]

    def redemption(self, which: int) -> str:
        """One of the redemptions."""
        return list(self.world.redemptions)[which % len(self.world.redemptions)]

    def card_of(self, redemption_id: str) -> str:
        """The number of the card that paid."""
        card_id = self.world.redemptions[redemption_id].card_id
        return next(c.card_number for c in self.world.cards.values() if c.card_id == card_id)

    @precondition(lambda self: len(self.world.cards) < 3)
    @rule(template_id=st.sampled_from(list(TEMPLATES)), active=st.sampled_from([True, True, False]))
    def issue(self, template_id: str, active: bool) -> None:
        position = len(self.world.cards) + 1
        number = f"88{position:014d}"
        self.world.act(Issue(template_id, f"crd_{position}", number, active), number, None)

    @precondition(lambda self: self.world.cards)
    @rule(which=index, move=st.sampled_from([Activate, Freeze, Unfreeze, Unfreeze, Activate]))
    def change_state(self, which: int, move: Callable[[None], Any]) -> None:
        self.world.act(move(None), self.number(which), None)

    @precondition(lambda self: self.world.cards)
    @rule(which=index, amount=amounts, store_id=stores)
    def top_up(self, which: int, amount: int, store_id: str) -> None:
        intent = TopUp(amount, pure.CURRENCY, "cash", None)
        self.world.act(intent, self.number(which), store_id)

    @precondition(lambda self: self.world.cards)
    @rule(which=index, amount=amounts, by_number=st.booleans(), store_id=stores, again=index)
    def redeem(self, which: int, amount: int, by_number: bool, store_id: str, again: int) -> None:
        """Quote, then redeem with the token: both are the same decision."""
        number = self.number(which)
        lines = [Line("a", "CUT", 1, amount, amount), Line("b", "DYE", 1, 9, 9)]
        asked = Redeem("", amount, pure.CURRENCY, lines, by_number, None, None)
        view = self.world.view(pure.command(asked, number, store_id=store_id))
        quoted = decide(view, pure.command(asked, number, store_id=store_id), pure.ids())
        token = quotes.token(view, view.card, asked, amount)[0] if view.card else None
        is_new = again % 8 > 0
        self.requests += is_new
        intent = msgspec.structs.replace(
            asked, request_no=f"R-{self.requests}", quote_token=token, expected_payable=amount
        )
        before = self.world.cards[number]
        decision = self.world.act(intent, number, store_id)
        taken = isinstance(decision, Refused) and decision.code.code == "duplicate_request_no"
        assert taken or type(decision) is type(quoted), "a redemption is not its quote"
        if isinstance(decision, Accepted) and isinstance(quoted, Accepted):
            drawn, expected = decision.own.redemption, quoted.own.redemption
            assert drawn is not None
            assert expected is not None
            assert drawn.allocation == expected.allocation, "not as quoted"
            check_draw(view, before, decision.own)

    @precondition(lambda self: self.world.redemptions)
    @rule(which=index, share=st.integers(1, 130))
    def refund_amount(self, which: int, share: int) -> None:
        """A share in per cent of what was redeemed; also too much."""
        name = self.redemption(which)
        amount = max(1, self.world.redemptions[name].amount * share // 100)
        self.world.act(Refund(name, amount, pure.CURRENCY, {}, None), self.card_of(name))

    @precondition(lambda self: self.world.redemptions)
    @rule(
        which=index, lines=st.dictionaries(st.sampled_from("abx"), st.integers(1, 300), min_size=1)
    )
    def refund_lines(self, which: int, lines: dict[str, int]) -> None:
        name = self.redemption(which)
        self.world.act(Refund(name, None, None, lines, None), self.card_of(name))

    @precondition(lambda self: self.world.redemptions)
    @rule(which=index)
    def refund_all(self, which: int) -> None:
        """Nothing named: whatever is left comes back."""
        name = self.redemption(which)
        left = self.world.redemptions[name].amount - self.world.redemptions[name].refunded
        decision = self.world.act(Refund(name, None, None, {}, None), self.card_of(name))
        if left:
            assert isinstance(decision, Accepted)
            assert decision.own.amount == left
            assert self.world.redemptions[name].status == "refunded"

    @precondition(lambda self: self.world.redemptions)
    @rule(which=index)
    def void(self, which: int) -> None:
        name = self.redemption(which)
        self.world.act(Void(name, None), self.card_of(name))

    @precondition(lambda self: self.world.keys)
    @rule(which=st.integers(0, 40))
    def reverse(self, which: int) -> None:
        """Undo one of the keys so far, or one that never came."""
        names = list(self.world.keys)
        key = names[which] if which < len(names) else which.to_bytes(16, "little")
        done = self.world.keys.get(key)
        target = self.world.targets.get((done and done.operation_id) or "")
        numbers = {card.card_id: card.card_number for card in self.world.cards.values()}
        number = numbers.get((target and target.card_id) or "", "")
        operation_id = done.operation_id if done else None
        self.world.act(Reverse(key, operation_id, None), number, None)

    @rule(pause=pauses)
    def wait(self, pause: timedelta) -> None:
        self.world.pass_time(pause)
        self.world.check()


def check_draw(view: View, before: Card, change: Change) -> None:
    """The policy, computed another way: who pays how much, and the earliest to lapse first."""
    assert change.redemption is not None
    assert view.template is not None
    alive = [
        lot
        for lot in before.lots
        if lot.remaining and not (lot.expires_at and lot.expires_at <= view.now)
    ]
    totals: Counter[str] = Counter()
    for lot in alive:
        totals[lot.account] += lot.remaining
    paid: Counter[str] = Counter()
    of_lot: Counter[str] = Counter()
    for lot_id, account, amount in change.redemption.allocation:
        paid[account] += amount
        of_lot[lot_id] += amount
    wanted = change.redemption.amount
    policy = view.template.rules.drawdown_policy
    if policy == "pro_rata":
        exact = wanted * totals["bonus"] / sum(totals.values())
        assert abs(paid["bonus"] - exact) < 1, "not in proportion"
    else:
        first = policy.removesuffix("_first")
        assert paid[first] == min(wanted, totals[first]), "the wrong account paid first"
    for account in ACCOUNTS:
        queue = sorted(
            (lot for lot in alive if lot.account == account),
            key=lambda lot: (lot.expires_at is None, lot.expires_at or view.now, lot.lot_id),
        )
        partly = [lot for lot in queue if of_lot[lot.lot_id] < lot.remaining]
        untouched_from = queue.index(partly[0]) + 1 if partly else len(queue)
        assert not any(of_lot[lot.lot_id] for lot in queue[untouched_from:]), (
            "a later lot paid first"
        )


def live(examples: int, *, find: bool = False) -> None:
    """Run the machine; with `find` only until something is found, the same on every run."""
    phases = [Phase.generate] if find else [Phase.generate, Phase.shrink]
    how = settings(
        max_examples=examples,
        stateful_step_count=STEPS_MAX,
        deadline=None,
        database=None,
        derandomize=find,
        report_multiple_bugs=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Lives, settings=how)


def test_CAP_C3_C4_E2_value_is_neither_made_nor_lost() -> None:
    live(EXAMPLES)


def _overdraws(amount: int, sources: Sequence[Source], policy: str) -> list[tuple[Source, int]]:
    """All from the first lot, whatever it holds."""
    return [(true_draw(amount, sources, policy)[0][0], amount)]


def _wrong_account(amount: int, sources: Sequence[Source], policy: str) -> list[tuple[Source, int]]:
    """Paid-in money first, whatever the template says."""
    return true_draw(amount, sources, "principal_first")


def _loses_a_unit(amount: int, sources: Sequence[Source], policy: str) -> list[tuple[Source, int]]:
    """A split that rounds every share down."""
    (source, part), *rest = true_draw(amount, sources, policy)
    return [(source, part - 1), *rest] if rest else [(source, part)]


def _forgets_refunds(
    allocation: Allocation, policy: str, before: int, refund: int
) -> list[tuple[int, int]]:
    """Gives back as if nothing had been given back before."""
    return true_give_back(allocation, policy, 0, refund)


def _no_lapse(card: Card, now: Any, new_id: Any) -> tuple[Card, tuple[Change, ...]]:
    """Lapsed value is left for the sweep."""
    return card, ()


def _same_version(card: Card, *rest: Any) -> Any:
    """The image keeps the version."""
    return top_ups_moved(msgspec.structs.replace(card, version=card.version - 1), *rest)


def _never_lapsed(lot: Any, now: Any) -> bool:
    """Value goes back into a lot whose time is over."""
    return False


top_ups_moved = vars(top_ups)["moved"]
MACHINE_TWINS: list[tuple[Any, str, Any]] = [
    (redemptions, "draw", _overdraws),
    (redemptions, "draw", _wrong_account),
    (redemptions, "draw", _loses_a_unit),
    (refunds, "give_back", _forgets_refunds),
    (top_ups, "moved", _same_version),
]
LAPSE_TWINS: list[tuple[Any, str, Any]] = [
    (redemptions, "lapse", _no_lapse),
    (refunds, "lapse", _no_lapse),
    (refunds, "is_lapsed", _never_lapsed),
    (reversals, "lapse", _no_lapse),
    (cards, "lapse", _no_lapse),
]


def named(twins: list[tuple[Any, str, Any]]) -> list[str]:
    """What is broken, for the names of the tests."""
    return [f"{module.__name__.split('.')[-1]}{broken.__name__}" for module, _, broken in twins]


@pytest.mark.parametrize(("module", "name", "broken"), MACHINE_TWINS, ids=named(MACHINE_TWINS))
def test_a_broken_movement_is_caught(
    module: Any, name: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, broken)
    with pytest.raises(AssertionError):
        live(1_000, find=True)


def a_life_with_lapses() -> None:
    """Everything that meets a bonus that lapsed meanwhile; chance would need long to come by it."""
    life = Lives()
    life.issue("tpl_bonus_first_None", True)
    for _ in range(2):
        life.top_up(0, 120, pure.STORE)
    life.redeem(0, 20, True, pure.STORE, 1)
    life.wait(timedelta(days=20))
    life.top_up(0, 300, pure.STORE)
    life.wait(timedelta(days=20))
    life.refund_amount(0, 50)
    life.wait(timedelta(days=80))
    life.redeem(0, 10, True, pure.STORE, 1)
    life.top_up(0, 100, pure.STORE)
    topped_up = len(life.world.keys) - 1
    life.wait(timedelta(days=40))
    life.reverse(topped_up)
    life.top_up(0, 100, pure.STORE)
    life.wait(timedelta(days=40))
    life.change_state(0, Freeze)
    life.refund_all(0)


def test_lapses_meet_every_movement() -> None:
    a_life_with_lapses()


@pytest.mark.parametrize(("module", "name", "broken"), LAPSE_TWINS, ids=named(LAPSE_TWINS))
def test_a_forgotten_lapse_is_caught(
    module: Any, name: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, broken)
    with pytest.raises(AssertionError, match="lapsed"):
        a_life_with_lapses()
