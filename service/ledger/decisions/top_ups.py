"""Top up: principal for what was paid, bonus by the ladder, each a lot with its own expiry."""

from schemas.problems import Reason
from service.kernel.problems import ProblemError, because
from service.ledger.commands import Command, TopUp
from service.ledger.decisions.movement import lapse, moved, spendable, state_reasons
from service.ledger.decisions.outcome import Accepted, NewId, Refused, Rejected
from service.ledger.decisions.stores import store_problem, store_reasons
from service.ledger.reasons import CARD_NOT_FOUND, CURRENCY_MISMATCH, MAX_BALANCE, OPERATION_REFUSED
from service.ledger.state import Card, Change, Lot, Posting, View
from service.rules import ladder, periods


def top_up(
    view: View, command: Command, intent: TopUp, new_id: NewId
) -> Accepted | Refused | Rejected:
    """Accepted with the new lots, or every reason against it."""
    if view.card is None:
        return Rejected(ProblemError(CARD_NOT_FOUND))
    problem = store_problem(view, command)
    if problem is not None:
        return Rejected(problem)
    assert view.template is not None
    step = ladder.bonus_for(intent.amount, view.template.steps)
    reasons = _reasons(view, view.card, intent, step.bonus if step else 0)
    if reasons:
        return Refused(OPERATION_REFUSED, reasons, "top_up", intent.amount)
    card, lapses = lapse(view.card, view.now, new_id)
    return Accepted((*lapses, _change(view, card, intent, step, new_id)))


def _reasons(view: View, card: Card, intent: TopUp, bonus: int) -> list[Reason]:
    assert view.template is not None
    reasons = state_reasons(card, view.now) + store_reasons(view, "top_up", intent.amount)
    if intent.currency != card.currency:
        reasons.append(because(CURRENCY_MISMATCH, allowed=[card.currency]))
        return reasons  # amounts of two currencies don't add up to a balance
    after = sum(spendable(card, view.now)) + intent.amount + bonus
    if after > view.template.rules.max_balance:
        excess = after - view.template.rules.max_balance
        reasons.append(because(MAX_BALANCE, card_id=card.card_id, missing_minor=excess))
    return reasons


def _change(
    view: View, card: Card, intent: TopUp, step: ladder.Step | None, new_id: NewId
) -> Change:
    new_lots = [Lot(new_id("lot"), "principal", intent.amount, intent.amount, None, None)]
    postings = [Posting("tender", "principal", intent.amount, new_lots[0].lot_id)]
    if step is not None:
        expires_at, expires_on = None, None
        if step.bonus_validity is not None:
            expires_at, expires_on = periods.expiry(view.now, step.bonus_validity, view.time_zone)
        new_lots.append(Lot(new_id("lot"), "bonus", step.bonus, step.bonus, expires_at, expires_on))
        postings.append(Posting("promotion", "bonus", step.bonus, new_lots[1].lot_id))
    image, _ = moved(card, view.now, {}, new_lots)
    return Change(
        operation_id=new_id("opn"),
        kind="top_up",
        amount=intent.amount,
        card_before=card,
        card=image,
        postings=postings,
        new_lots=new_lots,
        lots=[],
        target_id=None,
        redemption_before=None,
        redemption=None,
        request_no=None,
        details={"tender": intent.tender, "payment_reference": intent.payment_reference},
    )
